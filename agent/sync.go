package agent

import (
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"time"

	"berth/internal/backoff"
)

const (
	fullEvery   = time.Minute            // between full compares, before scaling and jitter
	recheckWait = 15 * time.Second       // full compare after a failure: an unanswered write may land late
	callTimeout = 15 * time.Second       // of one call to the catalog
	lastWait    = 2 * time.Second        // for the last changes at the end
	warnAfter   = 3 * time.Second        // a change of leader takes less, and is no news
	gatherMin   = 200 * time.Microsecond // writes faster than that are not worth a wait
	gatherMax   = 500 * time.Microsecond
)

// Sync wakes the sync loop, also out of its back-off; full has it compare everything.
func (a *Agent) Sync(full bool) {
	if full {
		a.mu.Lock()
		a.needFull = true
		a.mu.Unlock()
	}
	signal(a.kick)
}

// syncLoop is the only one that writes to the catalog.
func (a *Agent) syncLoop(ctx context.Context) error {
	retry := backoff.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	refusals := backoff.Backoff{Min: 5 * time.Second, Max: fullEvery}
	full := time.NewTimer(a.fullInterval())
	defer full.Stop()
	var failing time.Time // since when
	warned := false
	for {
		refused, err := a.syncOnce(ctx)
		switch {
		case ctx.Err() != nil:
			return a.lastSync(context.WithoutCancel(ctx))
		case err != nil:
			if failing.IsZero() {
				failing = time.Now()
			}
			if !warned && time.Since(failing) >= warnAfter {
				warned = true
				a.log.Warn("catalog does not have the newest state of this host; trying again", "err", err)
			}
			a.pause(ctx, retry.Next())
			continue
		}
		retry.Reset()
		if warned {
			warned = false
			a.log.Info("catalog has the newest state of this host again", "after", time.Since(failing).Round(time.Second).String())
		}
		if !failing.IsZero() {
			failing = time.Time{}
			full.Reset(recheckWait + rand.N(recheckWait))
		}
		if refused {
			full.Reset(refusals.Next())
		}
		select {
		case <-ctx.Done():
		case <-a.wake:
		case <-a.kick:
		case <-full.C:
			a.mu.Lock()
			a.needFull = true
			a.mu.Unlock()
			full.Reset(a.fullInterval())
		}
		if !refused {
			refusals.Reset()
		}
	}
}

// pause waits for d, for Sync or for ctx to end.
func (a *Agent) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-a.kick:
	case <-t.C:
	}
}

// fullInterval is how long until the next full compare: a minute and up to another at random,
// growing with the logarithm of the cluster's size.
func (a *Agent) fullInterval() time.Duration {
	return jittered(fullEvery * time.Duration(syncScale(a.cfg.ClusterSize())))
}

// syncScale is 1 up to 128 nodes and one more for each doubling from there.
func syncScale(nodes int) int {
	if nodes <= 128 {
		return 1
	}
	return bits.Len(uint(nodes-1)) - 7 + 1
}

// syncOnce writes what is dirty, after a full compare if one is due. It returns whether the
// catalog refused something.
func (a *Agent) syncOnce(ctx context.Context) (refused bool, err error) {
	a.mu.Lock()
	full := a.needFull
	if !full && a.dirty.empty() {
		a.mu.Unlock()
		return false, nil
	}
	a.needFull, a.comparing = false, full
	crowd := a.crowd > 1 && a.next.waiters < a.crowd && a.took > gatherMin
	a.mu.Unlock()
	if crowd && !full {
		a.gather(ctx)
	}
	if full {
		if err := a.fullCompare(ctx); err != nil {
			return false, err
		}
	}
	a.mu.Lock()
	taken, r := a.dirty, a.next
	a.dirty, a.next, a.inflight = newDirtySet(), newRound(), r
	ops := a.plan(taken)
	a.mu.Unlock()

	if len(ops) > 0 {
		begin := time.Now()
		err = a.write(ctx, ops)
		a.took = time.Since(begin)
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	a.inflight = nil
	if err != nil {
		a.dirty.merge(taken)
		a.next.carry(r)
		a.needFull = true
		return false, err
	}
	a.crowd = r.waiters + a.next.waiters
	a.noteLent(ops)
	r.finish()
	return a.noteRefusals(ops), nil
}

// gather waits, for a fraction of what a write takes, until as many callers wait as did a
// round ago: they were answered together and come back together, and are then written
// together. A lone caller never waits.
func (a *Agent) gather(ctx context.Context) {
	t := time.NewTimer(min(a.took/4, gatherMax))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			return
		case <-a.wake:
		}
		a.mu.Lock()
		all := a.next.waiters >= a.crowd
		a.mu.Unlock()
		if all {
			return
		}
	}
}

// fullCompare reads the catalog's view of this node and marks what differs.
func (a *Agent) fullCompare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	remote, err := a.cfg.Catalog.NodeState(ctx, a.cfg.Node)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.comparing = false
	if err != nil {
		a.needFull = true
		return fmt.Errorf("read the catalog's view of node %s: %w", a.cfg.Node, err)
	}
	a.compare(remote)
	a.settle(time.Now())
	return nil
}

// noteLent notes which services the catalog has now with EnableTagOverride. a.mu is held.
func (a *Agent) noteLent(ops []plannedOp) {
	for _, op := range ops {
		if reg := op.op.Register; op.text == "" && reg != nil && reg.Service != nil && reg.Service.EnableTagOverride {
			if svc := a.services[reg.Service.ID]; svc != nil && svc.row == reg.Service {
				svc.lent = true
			}
		}
	}
}

// noteRefusals logs each refusal once. What was refused is left until the next full compare
// marks it again. a.mu is held.
func (a *Agent) noteRefusals(ops []plannedOp) (refused bool) {
	for _, op := range ops {
		if op.text == "" {
			delete(a.warned, op.what)
			continue
		}
		refused = true
		if a.warned[op.what] != op.text {
			a.warned[op.what] = op.text
			a.log.Error("catalog refuses an entry of this host", "entry", op.what, "err", op.text)
		}
	}
	return refused
}

// roundFor is the round after which the catalog has all of the local state; nil: it has it
// now. a.mu is held.
func (a *Agent) roundFor() *round {
	if a.needFull || a.comparing || !a.dirty.empty() {
		a.next.waiters++
		return a.next
	}
	return a.inflight
}

// lastSync writes what is dirty when the agent stops.
func (a *Agent) lastSync(ctx context.Context) error {
	a.mu.Lock()
	full := a.needFull
	a.needFull = false // there is no time for a compare, and the next start begins with one
	a.mu.Unlock()
	if full {
		a.log.Debug("agent stops before the catalog was compared")
	}
	ctx, cancel := context.WithTimeout(ctx, lastWait)
	defer cancel()
	if _, err := a.syncOnce(ctx); err != nil {
		a.log.Warn("last changes did not reach the catalog; the next start will write them", "err", err)
	}
	return nil
}
