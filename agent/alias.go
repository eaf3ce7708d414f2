package agent

import (
	"context"
	"strings"
	"sync"

	"berth"
	"berth/agent/check"
)

// isLocalAlias says whether an alias check's target is on this node.
func (a *Agent) isLocalAlias(def *berth.CheckDefinition) bool {
	return def.AliasNode == "" || strings.EqualFold(def.AliasNode, a.cfg.Node)
}

// refreshAliases brings alias checks in line after a change of a check of that service, or of
// the node ("", which concerns all). a.mu is held.
func (a *Agent) refreshAliases(serviceID string) {
	for id := range a.aliases {
		if c := a.checks[id]; serviceID == "" || c.def.AliasService == serviceID {
			a.refreshAlias(c)
		}
	}
}

func (a *Agent) refreshAlias(c *probed) {
	target := c.def.AliasService
	svc := a.services[target]
	var checks []*berth.Check
	for _, set := range []idSet{a.byService[target], a.nodeChecks()} {
		for id := range set {
			if id != c.id {
				checks = append(checks, a.checks[id].row)
			}
		}
	}
	found := target == "" || (svc != nil && !svc.hidden)
	r := check.AliasOf(checks, target, a.cfg.Node, found)
	if a.checks[c.id] == c {
		a.setResult(c, r.Status, r.Output)
	} else { // not in the tables yet
		c.row.Status, c.row.Output = r.Status, r.Output
	}
}

// nodeChecks are the IDs of the checks that belong to no service.
func (a *Agent) nodeChecks() idSet { return a.byService[""] }

// remoteAlias is the loop that follows another node's checks.
func (a *Agent) remoteAlias(c *probed) func(context.Context) {
	return func(ctx context.Context) {
		check.FollowAlias(ctx, a.cfg.Nodes, c.def.AliasNode, c.def.AliasService, func(r check.Result) { a.report(c, r) })
	}
}

// pollers runs the loops of remote alias checks, which may come before run and go at any
// time.
type pollers struct {
	mu      sync.Mutex // guards the fields
	ctx     context.Context
	wg      sync.WaitGroup
	waiting map[*poller]struct{} // came before run
	ended   bool
}

type poller struct {
	loop   func(context.Context)
	cancel context.CancelFunc
}

func newPollers() *pollers { return &pollers{waiting: map[*poller]struct{}{}} }

// add has loop run until the returned function is called or run ends.
func (p *pollers) add(loop func(context.Context)) (cancel func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := &poller{loop: loop}
	switch {
	case p.ended:
	case p.ctx == nil:
		p.waiting[q] = struct{}{}
	default:
		p.start(q)
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.waiting, q)
		if q.cancel != nil {
			q.cancel()
		}
	}
}

func (p *pollers) start(q *poller) {
	ctx, cancel := context.WithCancel(p.ctx)
	q.cancel = cancel
	p.wg.Go(func() { defer cancel(); q.loop(ctx) })
}

// run starts the loops and returns when ctx has ended and they have.
func (p *pollers) run(ctx context.Context) error {
	p.mu.Lock()
	p.ctx = ctx
	for q := range p.waiting {
		p.start(q)
	}
	clear(p.waiting)
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.wg.Wait()
	return nil
}
