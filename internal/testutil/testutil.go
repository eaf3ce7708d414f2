// Package testutil holds the few helpers that tests of several packages share.
package testutil

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Equal fails the test unless got and want are deeply equal.
func Equal(t testing.TB, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %#v\nwant %#v", got, want)
	}
}

// NoError ends the test when err is not nil.
func NoError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

// Eventually calls f every so often until it returns nil; after limit the test ends with f's
// last error.
func Eventually(t testing.TB, limit, every time.Duration, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %v", limit, err)
		}
		time.Sleep(every)
	}
}

// Ports of FreePort are below those that the kernel gives to outgoing connections and to listeners
// that ask for any: one of these would be taken again before the test comes to use it.
const (
	firstPort = 20_000
	lastPort  = 32_000
)

// portsTried counts them; where it begins differs from process to process.
var portsTried atomic.Uint32

func init() { portsTried.Store(rand.Uint32N(lastPort - firstPort)) }

// FreePort returns a port that is free on all addresses for TCP and UDP now, and that no other call in
// this process has got.
func FreePort(t testing.TB) int {
	t.Helper()
	for range lastPort - firstPort {
		port := firstPort + int(portsTried.Add(1)%(lastPort-firstPort))
		if free(port) {
			return port
		}
	}
	t.Fatal("no port is free for both TCP and UDP")
	return 0
}

func free(port int) bool {
	addr := fmt.Sprintf(":%d", port)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer l.Close()
	p, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	p.Close()
	return true
}

// Logger writes to the test's log; lines that come after the test's end are dropped.
func Logger(t testing.TB) *slog.Logger {
	w := &logWriter{t: t}
	t.Cleanup(func() { w.mu.Lock(); w.done = true; w.mu.Unlock() })
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type logWriter struct {
	t    testing.TB
	mu   sync.Mutex // guards done
	done bool
}

func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.done {
		w.t.Log(strings.TrimRight(string(p), "\n"))
	}
	return len(p), nil
}

// Start runs f in a goroutine with a context that ends with the test, and waits for it.
func Start(t testing.TB, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil && ctx.Err() == nil {
				t.Errorf("background function failed: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("background function did not stop within 30 s")
		}
	})
}
