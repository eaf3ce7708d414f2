package main

import (
	"fmt"
	"time"

	"berth"
	"berth/dnsproxy"
	"berth/store/state"
)

// view is the catalog of a real state store that does not change.
type view struct{ state.View }

func (view) Synced() bool       { return true }
func (view) Lag() time.Duration { return 0 }

// newCatalog has n instances: services svc0, svc1 and so on with three each, on 1,000 nodes at
// most.
func newCatalog(n int) (func() dnsproxy.View, error) {
	s := state.New(nil)
	tx := s.Begin()
	for i := range n {
		host := i % min(n, 1000)
		reg := &berth.Registration{
			ID: fmt.Sprintf("00000000-0000-0000-0000-%012d", host), Node: fmt.Sprintf("node-%d", host),
			Address: fmt.Sprintf("10.0.%d.%d", host>>8, host&255), Datacenter: "dc1",
			Service: &berth.ServiceInstance{
				Node: fmt.Sprintf("node-%d", host), ID: fmt.Sprintf("i%d", i), Name: fmt.Sprintf("svc%d", i/3), Port: 8000 + i%3,
			},
		}
		for _, err := range tx.Catalog(uint64(i+1), 0, []berth.CatalogOp{{Register: reg}}) {
			if err != nil {
				return nil, err
			}
		}
	}
	tx.Commit(uint64(n))
	return func() dnsproxy.View { return view{s.View()} }, nil
}
