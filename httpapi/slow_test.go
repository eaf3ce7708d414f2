package httpapi_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
