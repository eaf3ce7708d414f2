package store

import "sync"

// broadcast wakes everybody who waits for the next change. The zero value is ready.
type broadcast struct {
	mu sync.Mutex // guards ch
	ch chan struct{}
}

// wait gives a channel that the next fire closes. Take it before looking at the state.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

// fire wakes all waiters.
func (b *broadcast) fire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
