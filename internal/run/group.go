// Package run starts long-lived functions together and stops them together.
package run

import (
	"context"
	"sync"
)

// Group runs functions in goroutines. The first one to return an error cancels the others'
// context. The zero value is not usable; call New.
type Group struct {
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	once   sync.Once
	err    error
}

// New returns a group and the context that its functions get. The context ends when a
// function fails, when parent ends, or when Stop is called.
func New(parent context.Context) (*Group, context.Context) {
	ctx, cancel := context.WithCancelCause(parent)
	return &Group{cancel: cancel}, ctx
}

// Go starts f in a goroutine of the group.
func (g *Group) Go(f func() error) {
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		if err := f(); err != nil {
			g.once.Do(func() { g.err = err; g.cancel(err) })
		}
	}()
}

// Stop cancels the group's context; it does not wait.
func (g *Group) Stop() { g.cancel(context.Canceled) }

// Wait blocks until all functions have returned and gives the first error.
func (g *Group) Wait() error {
	g.wg.Wait()
	g.cancel(context.Canceled)
	return g.err
}
