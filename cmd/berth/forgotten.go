package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"berth"
	"berth/internal/backoff"
)

// forgotten makes this host's agent forget what users deregister in the catalog, wherever they do
// it. The node's row in the replica is the hint, the leader's word counts: docs/decisions/0003.
// When the row or serfHealth changes otherwise, the agent compares: what was taken out while it
// was thought dead comes back at once.
type forgotten struct {
	node  string
	log   *slog.Logger
	wake  chan struct{} // 1 slot
	local func() (*berth.Node, bool)
	state func(ctx context.Context, node string) (*berth.NodeServices, error)
	heed  func([]berth.Forgotten)
	sync  func(full bool)
	write func(ctx context.Context, ops []berth.CatalogOp) ([]error, error)
}

func newForgotten(d *daemon) *forgotten {
	return &forgotten{
		node: d.cfg.Node.Name, log: d.part("agent"), wake: make(chan struct{}, 1),
		local: func() (*berth.Node, bool) { return d.store.View().Node(d.cfg.Node.Name) },
		state: d.store.NodeState, heed: d.agent.Heed, sync: d.agent.Sync, write: d.store.Write,
	}
}

// changed runs on the goroutine that applies: it only signals.
func (f *forgotten) changed(changes []berth.Change) {
	for _, c := range changes {
		if c.All || c.Node != "" && strings.EqualFold(c.Node, f.node) {
			select {
			case f.wake <- struct{}{}:
			default:
			}
			return
		}
	}
}

// run looks at every change of the node's row, and again while the leader cannot be asked.
func (f *forgotten) run(ctx context.Context) error {
	pause := backoff.Backoff{Min: 200 * time.Millisecond, Max: 5 * time.Second}
	for {
		n, ok := f.local()
		if !ok || n == nil || len(n.Forgotten) == 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-f.wake:
				f.sync(true)
			}
			continue
		}
		err := f.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			f.log.Debug("deregistrations cannot be looked at, will try again", "err", err)
		} else {
			pause.Reset()
		}
		// Without an error the replica follows within moments, and says so by wake.
		t := time.NewTimer(pause.Next())
		select {
		case <-ctx.Done():
		case <-f.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// once asks the leader, has the agent heed what it says, and then takes the word away.
func (f *forgotten) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ns, err := f.state(ctx, f.node)
	if err != nil || ns == nil || ns.Node == nil || len(ns.Node.Forgotten) == 0 {
		return err
	}
	f.heed(ns.Node.Forgotten)
	var ops []berth.CatalogOp
	for _, g := range ns.Node.Forgotten {
		ops = append(ops, berth.CatalogOp{Deregister: &berth.Deregistration{
			Node: f.node, ServiceID: g.ServiceID, CheckID: g.CheckID, Owner: g.Owner, Forgotten: true,
		}})
	}
	_, err = f.write(ctx, ops)
	return err
}
