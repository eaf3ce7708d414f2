package httpapi

import (
	"context"
	"math/rand/v2"
	"time"

	"berth"
)

// lastLook bounds the read that answers a waiting query when the server stops.
const lastLook = 2 * time.Second

// read runs a read with the request's options and writes its headers. A read that still waits
// when the server stops is answered with what there is.
func read[T any](c *call, f func(context.Context, berth.QueryOptions) (T, berth.QueryMeta, error)) (T, error) {
	ctx := c.ctx
	v, meta, err := f(ctx, c.opts)
	if err != nil && c.opts.MinIndex > 0 && ctx.Err() != nil && c.s.stopping() {
		q := c.opts
		q.MinIndex = 0
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
		defer cancel()
		v, meta, err = f(last, q)
	}
	c.setMeta(meta)
	if err == nil && c.route.effective {
		c.setEffective()
	}
	return v, err
}

// jittered spreads the moments at which waiting clients come back.
func jittered(d time.Duration) time.Duration {
	if d < 16 {
		return d
	}
	return d + rand.N(d/16)
}

// waitFor calls ready after each signal until it tells true, the time is over or the request
// ends. signal gives the channel that the next change closes; it is asked before ready.
func waitFor(ctx context.Context, limit time.Duration, signal func() <-chan struct{}, ready func() bool) {
	changed := signal()
	if ready() {
		return
	}
	timer := time.NewTimer(jittered(limit))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-changed:
		}
		changed = signal()
		if ready() {
			return
		}
	}
}
