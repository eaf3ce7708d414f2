// Package backoff computes growing pauses between attempts.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff doubles from Min to Max, each pause jittered by up to a quarter either way. It is
// for one goroutine; the zero value pauses 100 ms to 10 s.
type Backoff struct {
	Min, Max time.Duration
	next     time.Duration
}

// Next is the pause before the next attempt.
func (b *Backoff) Next() time.Duration {
	lo, hi := b.Min, b.Max
	if lo <= 0 {
		lo = 100 * time.Millisecond
	}
	if hi <= 0 {
		hi = 10 * time.Second
	}
	if b.next < lo {
		b.next = lo
	}
	d := b.next
	b.next = min(2*b.next, hi)
	return d - d/4 + rand.N(d/2+1)
}

// Reset makes the next pause the shortest one again.
func (b *Backoff) Reset() { b.next = 0 }

// Wait pauses for Next or until ctx ends, whose error it then returns.
func (b *Backoff) Wait(ctx context.Context) error { return Sleep(ctx, b.Next()) }

// Sleep pauses for d or until ctx ends, whose error it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
