package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-metrics"

	"berth/httpapi"
	"berth/internal/testutil"
)

// running starts a harness on a port of its own and gives its address.
func running(t testing.TB, change ...func(*httpapi.Config)) (*harness, string) {
	t.Helper()
	h := newHarness(t, append(change, func(c *httpapi.Config) { c.Addrs = append(c.Addrs, "127.0.0.1:0") })...)
	testutil.Start(t, h.srv.Run)
	addrs := h.srv.Addrs()
	return h, addrs[len(addrs)-1].String()
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	testutil.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	testutil.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return conn
}

func TestNew_Refusals(t *testing.T) {
	cfg := httpapi.Config{Logger: testutil.Logger(t), Store: newFakeStore()}
	cfg.Agent = newFakeAgent(newFakeStore())
	held, err := net.Listen("tcp", "127.0.0.1:0")
	testutil.NoError(t, err)
	defer held.Close()
	file := filepath.Join(t.TempDir(), "file")
	testutil.NoError(t, os.WriteFile(file, nil, 0o600))
	for want, change := range map[string]func(*httpapi.Config){
		"Logger is missing":                          func(c *httpapi.Config) { c.Logger = nil },
		"Store or Config.Agent is missing":           func(c *httpapi.Config) { c.Store = nil },
		"without a certificate":                      func(c *httpapi.Config) { c.TLSAddrs = []string{"127.0.0.1:0"} },
		fmt.Sprintf("(pid %d): choose", os.Getpid()): func(c *httpapi.Config) { c.Addrs = []string{held.Addr().String()} },
		held.Addr().String() + " is in use":          func(c *httpapi.Config) { c.Addrs = []string{"127.0.0.1:0", held.Addr().String()} },
		"is not a socket":                            func(c *httpapi.Config) { c.Addrs = []string{"unix://" + file} },
		"missing port":                               func(c *httpapi.Config) { c.Addrs = []string{"127.0.0.1"} },
		"not an octal number":                        func(c *httpapi.Config) { c.Addrs, c.UnixSocket.Mode = []string{"unix://" + file + ".sock"}, "999" },
		"unknown user": func(c *httpapi.Config) {
			c.Addrs, c.UnixSocket.User = []string{"unix://" + file + ".sock"}, "no-such-user"
		},
	} {
		c := cfg
		change(&c)
		srv, err := httpapi.New(c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
		if srv != nil {
			testutil.NoError(t, srv.Close())
		}
	}
}

func TestRun_UnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "http.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	testutil.NoError(t, err)
	stale.SetUnlinkOnClose(false)
	testutil.NoError(t, stale.Close()) // as a killed process leaves it
	h := newHarness(t, func(c *httpapi.Config) {
		c.Addrs = []string{"unix://" + path}
		c.UnixSocket = httpapi.UnixSocket{User: fmt.Sprint(os.Getuid()), Group: fmt.Sprint(os.Getgid()), Mode: "600"}
		c.Limits.MaxConnsPerClient = 1 // of an IP: does not apply
	})
	testutil.Start(t, h.srv.Run)
	info, err := os.Stat(path)
	testutil.NoError(t, err)
	testutil.Equal(t, info.Mode().Perm(), os.FileMode(0o600))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	hold, err := net.Dial("unix", path)
	testutil.NoError(t, err)
	defer hold.Close()
	response, err := client.Get("http://unix/v1/status/leader")
	testutil.NoError(t, err)
	testutil.NoError(t, response.Body.Close())
	testutil.Equal(t, response.StatusCode, 200)
	_, err = httpapi.New(httpapi.Config{Logger: testutil.Logger(t), Store: h.store, Agent: h.agent, Addrs: []string{"unix://" + path}})
	if err == nil || !strings.Contains(err.Error(), "in use by a running process") {
		t.Fatalf("second server on the socket: %v", err)
	}
}

func TestRun_TLSSpeaksHTTP2(t *testing.T) {
	certs := httptest.NewUnstartedServer(nil)
	certs.StartTLS() // only for its certificate
	defer certs.Close()
	h := newHarness(t, func(c *httpapi.Config) {
		c.TLSAddrs, c.TLS = []string{"127.0.0.1:0"}, &tls.Config{Certificates: certs.TLS.Certificates}
	})
	testutil.Start(t, h.srv.Run)
	client := certs.Client()
	client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	response, err := client.Get("https://" + h.srv.Addrs()[0].String() + "/v1/catalog/nodes?index=1&wait=1s")
	testutil.NoError(t, err)
	testutil.NoError(t, response.Body.Close())
	testutil.Equal(t, response.Proto, "HTTP/2.0")
	client.CloseIdleConnections()
}

func TestLimits_ConnectionsPerClient(t *testing.T) {
	_, addr := running(t, func(c *httpapi.Config) { c.Limits.MaxConnsPerClient = 2 })
	first, second := dial(t, addr), dial(t, addr)
	for _, conn := range []net.Conn{first, second} {
		_, err := io.WriteString(conn, "GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n")
		testutil.NoError(t, err)
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		testutil.NoError(t, err)
		testutil.Equal(t, r.StatusCode, 200)
	}
	third := dial(t, addr)
	_, err := io.WriteString(third, "PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
	testutil.NoError(t, err)
	raw, err := io.ReadAll(third)
	testutil.NoError(t, err)
	if !bytes.HasPrefix(raw, []byte("HTTP/1.1 429 ")) || !bytes.HasSuffix(raw, []byte("Your IP is issuing too many concurrent connections, please rate limit your calls\n")) {
		t.Fatalf("the third connection got %q", raw)
	}
	testutil.NoError(t, first.Close())
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error { // its place is free again
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /v1/status/leader HTTP/1.0\r\n\r\n"); err != nil {
			return err
		}
		got, err := io.ReadAll(conn)
		if !bytes.HasPrefix(got, []byte("HTTP/1.0 200")) {
			return fmt.Errorf("still refused: %.20q %v", got, err)
		}
		return nil
	})
}

func TestLimits_ConnectionsInAll(t *testing.T) {
	_, addr := running(t, func(c *httpapi.Config) { c.Limits.MaxConns = 1 })
	hold := dial(t, addr)
	_, err := io.WriteString(hold, "GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n")
	testutil.NoError(t, err)
	_, err = http.ReadResponse(bufio.NewReader(hold), nil)
	testutil.NoError(t, err)
	status, _ := get(t, "http://"+addr+"/v1/status/leader")
	testutil.Equal(t, status, 429)
}

func TestLimits_Headers(t *testing.T) {
	_, addr := running(t, func(c *httpapi.Config) { c.Limits.MaxHeaderBytes = 4096 })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/v1/status/leader", nil)
	testutil.NoError(t, err)
	r.Header.Set("X-Large", strings.Repeat("x", 20000))
	response, err := http.DefaultClient.Do(r)
	testutil.NoError(t, err)
	testutil.NoError(t, response.Body.Close())
	testutil.Equal(t, response.StatusCode, 431)
	http.DefaultClient.CloseIdleConnections()
}

// The log and the metrics stream until the client goes away, and end with the server.
func TestStreams_EndWithTheServer(t *testing.T) {
	sink := metrics.NewInmemSink(50*time.Millisecond, time.Minute)
	lines := make(chan []byte, 1)
	h := newHarness(t, func(c *httpapi.Config) { c.Addrs, c.Metrics, c.Logs = []string{"127.0.0.1:0"}, sink, openLog{lines} })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.srv.Run(ctx) }()
	defer cancel()
	base := "http://" + h.srv.Addrs()[0].String()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	open := func(path string) *http.Response {
		response, err := client.Get(base + path)
		testutil.NoError(t, err)
		t.Cleanup(func() { _ = response.Body.Close() })
		testutil.Equal(t, response.StatusCode, 200)
		answered.Store("GET "+path, true) // not through the harness
		return response
	}
	monitor, stream := open("/v1/agent/monitor"), open("/v1/agent/metrics/stream")
	lines <- []byte("hello\n")
	line, err := bufio.NewReader(monitor.Body).ReadString('\n')
	testutil.NoError(t, err)
	testutil.Equal(t, line, "hello\n")
	testutil.Start(t, func(ctx context.Context) error { // an interval ends when a later measurement arrives
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
				sink.SetGauge([]string{"x"}, 1)
			}
		}
	})
	var interval struct{ Gauges []struct{ Name string } }
	for dec := json.NewDecoder(stream.Body); len(interval.Gauges) == 0; {
		testutil.NoError(t, dec.Decode(&interval))
	}
	testutil.Equal(t, interval.Gauges[0].Name, "x")
	cancel()
	testutil.NoError(t, <-ended)
}

type openLog struct{ lines chan []byte }

func (l openLog) Watch(_ slog.Level, _ bool) (<-chan []byte, func()) { return l.lines, func() {} }

func TestRun_FailedListenerEndsIt(t *testing.T) {
	h := newHarness(t, func(c *httpapi.Config) { c.Addrs = []string{"127.0.0.1:0"} })
	testutil.NoError(t, h.srv.Close()) // behind its back
	err := h.srv.Run(t.Context())
	if err == nil || !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "127.0.0.1:") {
		t.Fatalf("Run returned %v, want an error that names the address", err)
	}
}

func TestDebug_ProfilesOnlyWhenAsked(t *testing.T) {
	newHarness(t).want("GET", "/debug/pprof/cmdline", "", 404, "Invalid URL path")
	h := newHarness(t, func(c *httpapi.Config) { c.Debug = true })
	h.want("GET", "/debug/pprof/cmdline", "", 200, "httpapi.test")
	h.want("GET", "/debug/pprof/goroutine?debug=1", "", 200, "goroutine profile")
	deny := newHarness(t, func(c *httpapi.Config) { c.Debug, c.Authorizer = true, &denyAll{} })
	deny.want("GET", "/debug/pprof/cmdline", "", 403, "Permission denied")
}

// A waiting read must be cheap: ten thousand of them are an everyday load.
func TestServer_WaitingReadsAreCheap(t *testing.T) {
	const reads, most = 1000, 48 << 10
	h, addr := running(t, func(c *httpapi.Config) { c.Limits.MaxConnsPerClient = -1 })
	before := memory()
	for range reads {
		conn := dial(t, addr)
		_, err := io.WriteString(conn, "GET /v1/health/service/web?index=9999&wait=10m&passing HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
		testutil.NoError(t, err)
	}
	testutil.Eventually(t, 20*time.Second, 20*time.Millisecond, func() error {
		h.store.mu.Lock()
		defer h.store.mu.Unlock()
		if h.store.waiting < reads {
			return fmt.Errorf("%d of %d reads wait", h.store.waiting, reads)
		}
		return nil
	})
	each := (memory() - before) / reads
	t.Logf("%d bytes for each waiting read, both ends of its connection included", each)
	if each > most {
		t.Errorf("a waiting read takes %d bytes, more than %d", each, most)
	}
}
