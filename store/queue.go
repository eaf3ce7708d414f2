package store

import (
	"context"
	"path"
	"sync"
)

// queue hands items from callbacks, which may never block, to a goroutine that works. It is
// bounded: when it is full the oldest items go, which timers make up for.
type queue[T any] struct {
	mu    sync.Mutex // guards items
	items []T
	wake  chan struct{}
	limit int
}

func newQueue[T any](limit int) *queue[T] {
	return &queue[T]{wake: make(chan struct{}, 1), limit: limit}
}

// put adds items; it never blocks.
func (q *queue[T]) put(items ...T) {
	q.mu.Lock()
	q.items = append(q.items, items...)
	if over := len(q.items) - q.limit; over > 0 {
		q.items = append([]T(nil), q.items[over:]...)
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// drain takes what is there.
func (q *queue[T]) drain() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = nil
	return items
}

// take waits for items or the end of ctx.
func (q *queue[T]) take(ctx context.Context) ([]T, error) {
	for {
		if items := q.drain(); len(items) > 0 {
			return items, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-q.wake:
		}
	}
}

// matches tells whether name fits a shell pattern.
func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}
