package state_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"berth"
	"berth/internal/testutil"
)

// crowd registers instance id of service big on one of 20 nodes.
func crowd(r *rand.Rand) *berth.Registration {
	node := fmt.Sprint("Node-", r.IntN(20))
	return &berth.Registration{Node: node, Address: fmt.Sprint("10.0.0.", r.IntN(3)), SkipNodeUpdate: r.IntN(10) > 0,
		Service: &berth.ServiceInstance{ID: fmt.Sprint("i", r.IntN(4)), Name: []string{"big", "BIG", "other"}[min(r.IntN(12), 2)*r.IntN(2)], Port: r.IntN(3)}}
}

// What is read of a service does not depend on what was read before: entries that were kept
// over changes are those that a store without any such past computes.
func TestReader_Service_KeptEntries(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 3))
		b := newBox(t)
		for range 60 {
			b.register(crowd(r))
		}
		for step := range 150 {
			node, id := fmt.Sprint("node-", r.IntN(20)), fmt.Sprint("i", r.IntN(4))
			switch r.IntN(6) {
			case 0:
				b.deregister(&berth.Deregistration{Node: node, ServiceID: id})
			case 1:
				b.deregister(&berth.Deregistration{Node: node, CheckID: fmt.Sprint("c", r.IntN(3))})
			case 2:
				if _, n := b.read().Node(nil, node); n != nil {
					b.register(&berth.Registration{Node: node, SkipNodeUpdate: true, Check: &berth.Check{CheckID: fmt.Sprint("c", r.IntN(3)), Output: fmt.Sprint(step)}})
				}
			case 3:
				if b.read().Instance(node, id) != nil {
					b.register(&berth.Registration{Node: node, SkipNodeUpdate: true, Check: &berth.Check{CheckID: "of-" + id, ServiceID: id, Output: fmt.Sprint(step)}})
				}
			case 4:
				if r.IntN(8) == 0 {
					b.deregister(&berth.Deregistration{Node: node})
				}
			default:
				b.register(crowd(r))
			}
			if r.IntN(3) > 0 {
				continue // let changes pile up
			}
			fresh := load(t, b.read()).Read()
			for _, name := range []string{"big", "other"} {
				_, got := b.read().Service(nil, name)
				_, want := fresh.Service(nil, name)
				if len(got) != len(want) {
					t.Fatalf("seed %d, step %d: %d entries of %s, want %d", seed, step, len(got), name, len(want))
				}
				for i := range got {
					testutil.Equal(t, *got[i], *want[i])
				}
			}
		}
	}
}

// A change in a large service must not cost its readers all of it.
func BenchmarkReader_Service_Large(b *testing.B) {
	x := newBox(b)
	for n := range 5000 {
		x.register(&berth.Registration{Node: fmt.Sprint("node-", n), Address: "10.0.0.1", Service: &berth.ServiceInstance{Name: "big"},
			Check: &berth.Check{CheckID: berth.NodeHealthCheckID, Status: berth.StatusPassing}})
	}
	x.commits = nil
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		n++
		x.register(&berth.Registration{Node: fmt.Sprint("node-", n*7%5000), SkipNodeUpdate: true,
			Check: &berth.Check{CheckID: berth.NodeHealthCheckID, Status: berth.StatusPassing, Output: fmt.Sprint(n)}})
		b.StartTimer()
		if _, es := x.read().Service(nil, "big"); len(es) != 5000 {
			b.Fatal(len(es))
		}
	}
}

// Readers on other goroutines, while the log is applied, see whole commits only. This is for
// the race detector, too.
func TestStore_ConcurrentReaders(t *testing.T) {
	b := newBox(t)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r := b.s.Read()
				_, es := r.Service(nil, "web")
				for _, e := range es {
					if e.Node == nil || len(e.Checks) != 2 {
						t.Errorf("half an instance is visible: %+v", e)
						return
					}
				}
				r.Services(nil)
				if _, u := r.Usage(nil); u.ServiceInstances != len(es) {
					t.Errorf("%d instances of web, %d in all", len(es), u.ServiceInstances)
					return
				}
			}
		})
	}
	for i := range 300 {
		node := fmt.Sprint("n", i%20)
		b.ops(berth.CatalogOp{Register: &berth.Registration{Node: node, Address: "10.0.0.1",
			Service: &berth.ServiceInstance{ID: "web", Name: "web", Port: i},
			Checks:  []*berth.Check{{CheckID: "node", Status: berth.StatusPassing}, {CheckID: "own", ServiceID: "web", Output: fmt.Sprint(i)}}}},
			berth.CatalogOp{Deregister: &berth.Deregistration{Node: fmt.Sprint("n", (i+7)%20)}})
	}
	close(stop)
	readers.Wait()
}
