package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth"
	"berth/httpapi"
	"berth/internal/testutil"
)

// pipes is a listener in memory, so that deadlines run on a test's own clock.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// slowClient runs a server on a pipe and gives the client's end; the client's silence is cut
// off within limit of the test's clock.
func slowClient(t *testing.T, limit time.Duration, client func(h *harness, conn net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		h.srv.ServeOn(p)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- h.srv.Run(ctx) }()
		ours, theirs := net.Pipe()
		p.conns <- theirs
		start := time.Now()
		client(h, ours)
		if took := time.Since(start); took > limit {
			t.Errorf("cut off after %v, want at most %v", took, limit)
		}
		testutil.NoError(t, ours.Close())
		cancel()
		testutil.NoError(t, <-ended)
	})
}

func TestSlowClient_Headers(t *testing.T) {
	slowClient(t, 15*time.Second, func(_ *harness, conn net.Conn) {
		_, err := io.WriteString(conn, "GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n")
		testutil.NoError(t, err)
		_, err = io.ReadAll(conn) // until the server gives up
		testutil.NoError(t, err)
	})
}

func TestSlowClient_Body(t *testing.T) {
	slowClient(t, 65*time.Second, func(h *harness, conn net.Conn) {
		_, err := io.WriteString(conn, "PUT /v1/kv/half HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
		testutil.NoError(t, err)
		raw, err := io.ReadAll(conn)
		testutil.NoError(t, err)
		if !bytes.Contains(raw, []byte("400 Bad Request")) || !bytes.Contains(raw, []byte("Request body could not be read")) {
			t.Errorf("the client was told %q", raw)
		}
		h.want("GET", "/v1/kv/half", "", 404, "")
	})
}

func TestSlowClient_Response(t *testing.T) {
	slowClient(t, 65*time.Second, func(h *harness, conn net.Conn) {
		h.want("PUT", "/v1/kv/large", strings.Repeat("v", 500_000), 200, "true")
		_, err := io.WriteString(conn, "GET /v1/kv/large HTTP/1.1\r\nHost: x\r\n\r\n")
		testutil.NoError(t, err)
		_, err = io.ReadFull(conn, make([]byte, 10)) // and then nothing more
		testutil.NoError(t, err)
		synctest.Wait()
		<-time.After(61 * time.Second) // on the bubble's clock
		rest, err := io.ReadAll(conn)
		if err == nil && len(rest) > 100_000 {
			t.Errorf("the server still had %d bytes for a client that did not read", len(rest))
		}
	})
}

// A read may wait for longer than any of these limits.
func TestSlowClient_WaitingReadIsNotSlow(t *testing.T) {
	slowClient(t, 5*time.Minute+30*time.Second, func(_ *harness, conn net.Conn) {
		start := time.Now()
		_, err := io.WriteString(conn, "PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nv"+
			"GET /v1/kv/a?index=9999&wait=5m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		testutil.NoError(t, err)
		raw, err := io.ReadAll(conn)
		testutil.NoError(t, err)
		if n := bytes.Count(raw, []byte("HTTP/1.1 200 OK")); n != 2 || time.Since(start) < 5*time.Minute {
			t.Errorf("%d answers after %v: %q", n, time.Since(start), raw)
		}
	})
}

// Answers of other agents are held to the same limits as those of this one.
func TestSlowClient_ForwardedResponse(t *testing.T) {
	slowClient(t, 65*time.Second, func(h *harness, conn net.Conn) {
		var took time.Duration
		given := make(chan struct{})
		h.store.forward = func(w http.ResponseWriter, _ *http.Request, _ berth.Route) bool {
			defer close(given)
			start := time.Now()
			for err := error(nil); err == nil; {
				_, err = w.Write(make([]byte, 32<<10))
			}
			took = time.Since(start)
			return true
		}
		_, err := io.WriteString(conn, "GET /v1/kv/large HTTP/1.1\r\nHost: x\r\n\r\n")
		testutil.NoError(t, err)
		_, err = io.ReadFull(conn, make([]byte, 10)) // and then nothing more
		testutil.NoError(t, err)
		<-given
		if took < 59*time.Second {
			t.Errorf("the client was given %v, want a minute", took)
		}
	})
}

// A client on a slow line that does read gets everything, however long that takes.
func TestSlowClient_SlowLine(t *testing.T) {
	for _, path := range []string{"/v1/kv/many?recurse", "/v1/kv/many/00?raw"} {
		slowClient(t, time.Hour, func(h *harness, conn net.Conn) {
			for i := range 20 {
				h.want("PUT", fmt.Sprintf("/v1/kv/many/%02d", i), strings.Repeat("v", 500_000), 200, "true")
			}
			_, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			testutil.NoError(t, err)
			resp, err := http.ReadResponse(bufio.NewReaderSize(slowly{conn}, 8<<10), nil)
			testutil.NoError(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			testutil.NoError(t, err)
			if strings.HasSuffix(path, "raw") {
				if len(body) != 500_000 {
					t.Errorf("%s: %d bytes, want 500000", path, len(body))
				}
				return
			}
			var got []berth.KVEntry
			testutil.NoError(t, json.Unmarshal(body, &got))
			if len(got) != 20 {
				t.Errorf("%d entries, want 20", len(got))
			}
		})
	}
}

// slowly reads 4 KiB a second.
type slowly struct{ net.Conn }

func (s slowly) Read(p []byte) (int, error) {
	<-time.After(time.Second) // on the bubble's clock
	return s.Conn.Read(p[:min(len(p), 4<<10)])
}

// A client that does not read costs a piece of a long list, not the whole of it.
func TestSlowClient_CostsLittle(t *testing.T) {
	for _, encoding := range []string{"identity", "gzip"} {
		slowClient(t, 65*time.Second, func(h *harness, conn net.Conn) {
			value := make([]byte, 400_000)
			_, err := rand.Read(value)
			testutil.NoError(t, err)
			for i := range 100 {
				h.want("PUT", fmt.Sprintf("/v1/kv/many/%02d", i), string(value), 200, "true")
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = io.WriteString(conn, "GET /v1/kv/many?recurse HTTP/1.1\r\nHost: x\r\nAccept-Encoding: "+encoding+"\r\n\r\n")
			testutil.NoError(t, err)
			_, err = io.ReadFull(conn, make([]byte, 10)) // and then nothing more
			testutil.NoError(t, err)
			synctest.Wait()
			runtime.ReadMemStats(&after)
			if made := after.TotalAlloc - before.TotalAlloc; made > 16<<20 {
				t.Errorf("%s: %d MiB for a list of 50 MiB that is not read", encoding, made>>20)
			}
		})
	}
}

// A stream over HTTP/2 with nothing to tell for a while goes on.
func TestSlowClient_QuietStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := make(chan []byte)
		h := newHarness(t, func(c *httpapi.Config) { c.Logs = openLog{lines} })
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		server := &http.Server{Handler: h.srv.Handler(), Protocols: protocols}
		go func() { _ = server.Serve(p) }()
		client := &http.Transport{Protocols: protocols, DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			p.conns <- theirs
			return ours, nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "GET", "http://agent/v1/agent/monitor", nil)
		testutil.NoError(t, err)
		resp, err := client.RoundTrip(req)
		testutil.NoError(t, err)
		defer resp.Body.Close()
		<-time.After(10 * time.Minute) // on the bubble's clock
		lines <- []byte("at last\n")
		got := make([]byte, 8)
		_, err = io.ReadFull(resp.Body, got)
		testutil.NoError(t, err)
		testutil.Equal(t, string(got), "at last\n")
		cancel()
		client.CloseIdleConnections()
		testutil.NoError(t, server.Close())
		synctest.Wait()
	})
}
