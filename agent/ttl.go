package agent

import (
	"fmt"
	"time"

	"berth"
	"berth/agent/check"
)

// startTTL sets the clock of a TTL check: a deadline from before a restart goes on to count.
func (a *Agent) startTTL(c *probed) {
	ttl := c.def.TTL.D()
	now := time.Now()
	switch {
	case c.deadline.IsZero() || c.deadline.After(now.Add(ttl)):
		c.deadline = now.Add(ttl)
	case !c.deadline.After(now):
		c.row.Output = check.Expired(c.row.Output, a.outputMax(c.def))
		c.row.Status = berth.StatusCritical
		c.deadline = now.Add(ttl)
	}
	c.ttl = time.AfterFunc(c.deadline.Sub(now), func() { a.ttlFired(c) })
}

// ttlFired is the timer's function. A refresh only moves the deadline, so the timer may fire
// before it and is then set again.
func (a *Agent) ttlFired(c *probed) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.checks[c.id] != c {
		return
	}
	if left := time.Until(c.deadline); left > 0 {
		c.ttl.Reset(left)
		return
	}
	if c.row.Status != berth.StatusCritical {
		a.setResult(c, berth.StatusCritical, check.Expired(c.row.Output, a.outputMax(c.def)))
	}
}

// UpdateTTL refreshes a TTL check with a status and an output. A change of status returns
// when the catalog has it, or after 2 seconds.
func (a *Agent) UpdateTTL(id, status, output string) error {
	switch status {
	case berth.StatusPassing, berth.StatusWarning, berth.StatusCritical:
	default:
		return berth.Invalid(fmt.Sprintf("Invalid check status: '%s'", status))
	}
	r, err := a.refreshTTL(id, status, output)
	if err != nil {
		return err
	}
	a.await(nil, r)
	return nil
}

func (a *Agent) refreshTTL(id, status, output string) (*round, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, berth.ErrClosed
	}
	c := a.checks[id]
	switch {
	case c == nil:
		return nil, berth.ErrUnknownCheck
	case c.ttl == nil:
		return nil, berth.ErrNotTTL
	}
	c.deadline = time.Now().Add(c.def.TTL.D())
	c.ttl.Reset(c.def.TTL.D())
	a.stateDirtyFor(id)
	was := c.row.Status
	a.setResult(c, status, check.Truncate(output, a.outputMax(c.def)))
	if was == status {
		return nil, nil // a heartbeat: nothing to wait for
	}
	return a.roundFor(), nil
}

// outputMax is how many bytes of output are kept of a check.
func (a *Agent) outputMax(def *berth.CheckDefinition) int {
	if def.OutputMaxSize > 0 {
		return def.OutputMaxSize
	}
	return a.cfg.CheckOutputMaxSize
}
