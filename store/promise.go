package store

import (
	"sync"
	"time"
)

// promise is given to one server at a time.
type promise struct {
	mu    sync.Mutex // guards to, until
	to    string
	until time.Time
}

// give promises to id, unless another one holds a promise that has not run out.
func (p *promise) give(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if id == "" || (p.to != id && now.Before(p.until)) {
		return false
	}
	p.to, p.until = id, now.Add(promiseFor)
	return true
}
