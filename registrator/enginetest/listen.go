package enginetest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
)

// Serve answers on a unix socket until the test ends.
func (e *Engine) Serve(t testing.TB, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stop := e.serve(l)
	t.Cleanup(stop)
}

// Pipe serves in memory; use Dial for the client's side. stop ends it.
func (e *Engine) Pipe() (stop func()) {
	p := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	e.set(func() { e.pipes = p })
	return e.serve(p)
}

func (e *Engine) serve(l net.Listener) (stop func()) {
	srv := &http.Server{Handler: e, ConnState: func(c net.Conn, st http.ConnState) {
		e.mu.Lock()
		defer e.mu.Unlock()
		switch st {
		case http.StateNew:
			if e.conns == nil {
				e.conns = map[net.Conn]bool{}
			}
			e.conns[c] = true
		case http.StateClosed, http.StateHijacked:
			delete(e.conns, c)
		}
	}}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	return func() {
		e.mu.Lock()
		for s := range e.subs {
			s.end(true)
		}
		e.mu.Unlock()
		srv.Close()
		<-done
	}
}

// Dial connects to an engine that was started by Pipe.
func (e *Engine) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	e.mu.Lock()
	p, down := e.pipes, e.down
	e.mu.Unlock()
	if down || p == nil {
		return nil, &net.OpError{Op: "dial", Net: "unix", Err: syscall.ECONNREFUSED}
	}
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
	case <-ctx.Done():
	}
	client.Close()
	server.Close()
	return nil, errors.New("engine is gone")
}

type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipeListener) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
