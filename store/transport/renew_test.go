package transport_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/sockets"
	"berth/internal/testutil"
	"berth/store/transport"
)

// serve runs a transport whose handler waits as long as the query's "for" says.
func serve(t *testing.T, tls transport.TLS) *transport.Transport {
	t.Helper()
	l, err := sockets.ListenTCP("a test", "127.0.0.1", 0)
	testutil.NoError(t, err)
	long := func(r *http.Request) bool { return r.URL.Query().Has("index") }
	tr := transport.New(transport.Config{Logger: testutil.Logger(t), Listener: l, TLS: tls, Long: long})
	testutil.Start(t, func(ctx context.Context) error {
		return tr.Serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d, _ := time.ParseDuration(r.URL.Query().Get("for"))
			select {
			case <-time.After(d):
			case <-r.Context().Done():
			}
			fmt.Fprint(w, "done")
		}))
	})
	return tr
}

func ask(from, to *transport.Transport, query string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+to.Addr().String()+"/?"+query, strings.NewReader("body"))
	if err != nil {
		return err
	}
	resp, err := from.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "done" {
		return fmt.Errorf("answer %q: %v", b, err)
	}
	return nil
}

// Requests without a pause go to a server that stops in order: each is answered, or surely
// was not taken.
func TestTransport_Drain_LosesNoRequest(t *testing.T) {
	for name, tls := range map[string]transport.TLS{"plain": nil, "from a key": keys(t, "a")} {
		t.Run(name, func(t *testing.T) {
			from, to := serve(t, tls), serve(t, tls)
			go func() { _ = ask(from, to, "index=1&for=1m") }() // is not waited for
			var answered, refused atomic.Int64
			stop := make(chan struct{})
			var askers sync.WaitGroup
			for range 8 {
				askers.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						switch err := ask(from, to, "for=3ms"); {
						case err == nil:
							answered.Add(1)
						case transport.NotSent(err):
							refused.Add(1)
							time.Sleep(time.Millisecond)
						default:
							t.Errorf("a request was lost: %v", err)
							return
						}
					}
				})
			}
			testutil.Eventually(t, 10*time.Second, time.Millisecond, func() error {
				if n := answered.Load(); n < 100 {
					return fmt.Errorf("%d answers", n)
				}
				return nil
			})
			began := time.Now()
			to.Drain(10 * time.Second)
			to.Close()
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("draining took %v, though all short requests ended at once", d)
			}
			testutil.Eventually(t, 10*time.Second, time.Millisecond, func() error {
				if n := refused.Load(); n < 10 {
					return fmt.Errorf("%d refused", n)
				}
				return nil
			})
			close(stop)
			askers.Wait()
		})
	}
}

// ring is a keyring that changes.
type ring struct{ keys atomic.Pointer[[][]byte] }

func newRing(t *testing.T, keys ...string) (*ring, *transport.KeyTLS) {
	t.Helper()
	r := &ring{}
	r.set(keys...)
	k, err := transport.NewKeyTLS(func() [][]byte { return *r.keys.Load() })
	testutil.NoError(t, err)
	return r, k
}

func (r *ring) set(keys ...string) {
	var raw [][]byte
	for _, k := range keys {
		raw = append(raw, bytes.Repeat([]byte(k), 32))
	}
	r.keys.Store(&raw)
}

func TestTransport_Retire_EndsWhatARemovedKeyMade(t *testing.T) {
	ra, ka := newRing(t, "a")
	rb, kb := newRing(t, "a")
	a, b := serve(t, ka), serve(t, kb)
	thief := serve(t, keys(t, "a")) // has the old key only
	testutil.NoError(t, ask(thief, b, ""))
	testutil.NoError(t, ask(a, b, ""))
	raft, err := a.DialRaft(b.Addr().String(), time.Second)
	testutil.NoError(t, err)
	_, err = b.RaftListener().Accept()
	testutil.NoError(t, err)

	for _, step := range [][]string{{"a", "b"}, {"b", "a"}} { // install, use
		for _, x := range []struct {
			r *ring
			k *transport.KeyTLS
		}{{ra, ka}, {rb, kb}} {
			x.r.set(step...)
			if x.k.Shrunk() {
				t.Fatalf("no key has left %v", step)
			}
		}
	}
	const grace = time.Second
	slow := make(chan error, 1)
	go func() { slow <- ask(a, b, "for=300ms") }()
	time.Sleep(50 * time.Millisecond) // it is on its way
	ra.set("b")
	rb.set("b")
	if !ka.Shrunk() || !kb.Shrunk() || ka.Shrunk() {
		t.Error("a removed key is not noticed once")
	}
	var retired sync.WaitGroup
	retired.Go(func() { a.Retire(t.Context(), grace) })
	retired.Go(func() { b.Retire(t.Context(), grace) })
	for range 50 {
		if err := ask(a, b, ""); err != nil {
			t.Errorf("a request while connections are replaced: %v", err)
		}
	}
	if err := <-slow; err != nil {
		t.Errorf("a request that was under way: %v", err)
	}
	retired.Wait()
	_ = raft.SetReadDeadline(time.Now().Add(5 * time.Second)) // an error: it is closed
	if _, err := raft.Read(make([]byte, 1)); err == nil {
		t.Error("raft's connection under the removed key is open")
	}
	if err := ask(thief, b, ""); err == nil {
		t.Error("who has the removed key only is still answered")
	}
	testutil.NoError(t, ask(a, b, ""))
	began := time.Now()
	a.Retire(t.Context(), time.Minute)
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("with nothing to end it waits for %v", d)
	}
}
