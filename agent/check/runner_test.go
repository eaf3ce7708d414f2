package check

//lint:file-ignore SA1019 a connection that is open already is what the check has, and net/http takes none

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"berth"
	"berth/internal/testutil"
)

// run makes one run of a check.
func run(t *testing.T, target berth.CheckTarget) Result {
	t.Helper()
	r := NewRunners(Config{OutputMax: 64})
	defer r.Close()
	target.Interval = berth.Duration(time.Second)
	runner, err := r.New(&berth.CheckDefinition{ID: "c", CheckTarget: target})
	testutil.NoError(t, err)
	return runner.Run(t.Context())
}

func expect(t *testing.T, r Result, status, output string) {
	t.Helper()
	if r.Status != status || !strings.Contains(r.Output, output) {
		t.Errorf("got %s %q, want %s with %q", r.Status, r.Output, status, output)
	}
}

// tlsServer answers 404 with a certificate that nobody trusts.
func tlsServer(t *testing.T, h2 bool) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // the clients' refusals are wanted
	srv.EnableHTTP2 = h2
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

const short = berth.Duration(200 * time.Millisecond)

func TestHTTP(t *testing.T) {
	mux := http.NewServeMux()
	for path, code := range map[string]int{"/ok": 200, "/created": 201, "/busy": 429, "/moved": 304, "/gone": 404, "/broken": 500} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Method, " ", r.Host, " ", r.Header.Get("X-A"), " ", r.Header.Get("User-Agent"), " ", r.Close, " ", string(b))
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "event: hello\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for path, want := range map[string]string{
		"/ok": "passing", "/created": "passing", "/busy": "warning", "/moved": "critical", "/gone": "critical",
		"/broken": "critical", "/redirect": "passing", "/loop": "critical", "/endless": "passing",
	} {
		t.Run(path, func(t *testing.T) { expect(t, run(t, berth.CheckTarget{HTTP: srv.URL + path}), want, "") })
	}
	expect(t, run(t, berth.CheckTarget{HTTP: srv.URL + "/redirect", DisableRedirects: true}), "critical", "302 Found")
	expect(t, run(t, berth.CheckTarget{HTTP: srv.URL + "/hang", Timeout: short}), "critical", "exceeded")
	expect(t, run(t, berth.CheckTarget{HTTP: srv.URL + "/stream", Timeout: short}), "passing", "200 OK (the body did not end) Output: event: hello")
	expect(t, run(t, berth.CheckTarget{
		HTTP: srv.URL + "/echo", Method: "POST", Body: "body", Header: map[string][]string{"X-A": {"1"}, "Host": {"h"}},
	}), "passing", "POST h 1 Consul Health Check true body")
	srv.Close()
	expect(t, run(t, berth.CheckTarget{HTTP: srv.URL + "/ok"}), "critical", "refused")
}

func TestHTTP_TLS(t *testing.T) {
	srv := tlsServer(t, false)
	expect(t, run(t, berth.CheckTarget{HTTP: srv.URL}), "critical", "certificate")
	expect(t, run(t, berth.CheckTarget{HTTP: srv.URL, TLSSkipVerify: true, TLSServerName: "example.com"}), "critical", "404 Not Found")
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testutil.NoError(t, err)
	addr := l.Addr().String()
	expect(t, run(t, berth.CheckTarget{TCP: addr}), "passing", "TCP connect "+addr+": Success")
	l.Close()
	expect(t, run(t, berth.CheckTarget{TCP: addr}), "critical", "refused")
	expect(t, run(t, berth.CheckTarget{TCP: "no-port"}), "critical", "missing port")

	srv := tlsServer(t, false)
	tlsAddr := srv.Listener.Addr().String()
	expect(t, run(t, berth.CheckTarget{TCP: tlsAddr, TCPUseTLS: true, TLSSkipVerify: true}), "passing", "Success")
	expect(t, run(t, berth.CheckTarget{TCP: tlsAddr, TCPUseTLS: true}), "critical", "TLS handshake with "+tlsAddr+": tls: failed to verify certificate")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	testutil.NoError(t, err)
	defer silent.Close()
	expect(t, run(t, berth.CheckTarget{TCP: silent.Addr().String(), TCPUseTLS: true, Timeout: short}), "critical", "TLS handshake with "+silent.Addr().String())
}

func TestUDP(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	testutil.NoError(t, err)
	defer silent.Close()
	addr := silent.LocalAddr().String()
	begin := time.Now()
	expect(t, run(t, berth.CheckTarget{UDP: addr, Timeout: short}), "passing", "UDP connect "+addr+": Success")
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("a silent server held the check for %v", d)
	}
	answering, err := net.ListenPacket("udp", "127.0.0.1:0")
	testutil.NoError(t, err)
	defer answering.Close()
	go func() {
		if _, from, err := answering.ReadFrom(make([]byte, 10)); err == nil {
			answering.WriteTo([]byte("hi"), from)
		}
	}()
	expect(t, run(t, berth.CheckTarget{UDP: answering.LocalAddr().String(), Timeout: berth.Duration(time.Minute)}), "passing", "Success")
	expect(t, run(t, berth.CheckTarget{UDP: fmt.Sprintf("127.0.0.1:%d", testutil.FreePort(t)), Timeout: berth.Duration(time.Minute)}), "critical", "refused")
}

func TestScript(t *testing.T) {
	sh := func(s string) []string { return []string{"/bin/sh", "-c", s} }
	expect(t, run(t, berth.CheckTarget{ScriptArgs: sh("echo fine; echo too >&2")}), "passing", "fine\ntoo\n")
	expect(t, run(t, berth.CheckTarget{ScriptArgs: sh("echo so so; exit 1")}), "warning", "so so")
	expect(t, run(t, berth.CheckTarget{ScriptArgs: sh("exit 2")}), "critical", "")
	expect(t, run(t, berth.CheckTarget{ScriptArgs: sh("kill -9 $$")}), "critical", "")
	expect(t, run(t, berth.CheckTarget{ScriptArgs: []string{"/does/not/exist"}}), "critical", "no such file")
	expect(t, run(t, berth.CheckTarget{ScriptArgs: sh("head -c 1000 /dev/zero | tr '\\0' x; echo end")}), "passing", "Captured 64 of 1004 bytes\n...\nxxx")
}

func TestScript_Timeout_KillsItsWholeGroup(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	r := run(t, berth.CheckTarget{
		ScriptArgs: []string{"/bin/sh", "-c", "sleep 1000 & echo $! >" + pidFile + "; echo begun; wait"}, Timeout: berth.Duration(time.Second),
	})
	expect(t, r, "critical", "Timed out (1s) running check: begun") // so a shell has the time to begin
	testutil.Equal(t, r.Final, true)
	b, err := os.ReadFile(pidFile)
	testutil.NoError(t, err)
	var pid int
	fmt.Sscan(string(b), &pid)
	testutil.Eventually(t, 5*time.Second, 5*time.Millisecond, func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && !strings.Contains(string(stat), ") Z ") && syscall.Kill(pid, 0) == nil {
			return fmt.Errorf("child %d of the script is alive", pid)
		}
		return nil
	})
}

func TestScript_ChildThatKeepsTheOutputOpen(t *testing.T) {
	begin := time.Now()
	r := run(t, berth.CheckTarget{ScriptArgs: []string{"/bin/sh", "-c", "sleep 15 & echo started"}, Timeout: berth.Duration(time.Minute)})
	expect(t, r, "passing", "started")
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("waited %v for the daemon that the script left behind", d)
	}
}

func TestGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testutil.NoError(t, err)
	srv := grpc.NewServer()
	h := health.NewServer()
	healthpb.RegisterHealthServer(srv, h)
	h.SetServingStatus("down", healthpb.HealthCheckResponse_NOT_SERVING)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	addr := l.Addr().String()
	expect(t, run(t, berth.CheckTarget{GRPC: addr}), "passing", "gRPC check "+addr+": success")
	expect(t, run(t, berth.CheckTarget{GRPC: addr + "/down"}), "critical", "NOT_SERVING")
	expect(t, run(t, berth.CheckTarget{GRPC: addr + "/none"}), "critical", "NotFound")
	expect(t, run(t, berth.CheckTarget{GRPC: addr, GRPCUseTLS: true, Timeout: short}), "critical", "")
	srv.Stop()
	testutil.NoError(t, <-done)
	expect(t, run(t, berth.CheckTarget{GRPC: addr}), "critical", "refused")
}

func TestH2Ping(t *testing.T) {
	srv := tlsServer(t, true)
	addr := srv.Listener.Addr().String()
	expect(t, run(t, berth.CheckTarget{H2PING: addr, H2PingUseTLS: true, TLSSkipVerify: true}), "passing", "HTTP2 ping was successful")
	expect(t, run(t, berth.CheckTarget{H2PING: addr, H2PingUseTLS: true}), "critical", "certificate")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	testutil.NoError(t, err)
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			(&http2.Server{}).ServeConn(conn, &http2.ServeConnOpts{Handler: http.NotFoundHandler()})
		}
	}()
	expect(t, run(t, berth.CheckTarget{H2PING: l.Addr().String()}), "passing", "successful")
	old := tlsServer(t, false)
	expect(t, run(t, berth.CheckTarget{H2PING: old.Listener.Addr().String(), H2PingUseTLS: true, TLSSkipVerify: true}), "critical", "")
	hang, err := net.Listen("tcp", "127.0.0.1:0")
	testutil.NoError(t, err)
	defer hang.Close()
	expect(t, run(t, berth.CheckTarget{H2PING: hang.Addr().String(), Timeout: short}), "critical", "failed")
}

func TestRunners_New_RefusesWhatHasNoRunner(t *testing.T) {
	r := NewRunners(Config{})
	for _, target := range []berth.CheckTarget{{OSService: "x"}, {TTL: 1}, {AliasService: "x"}, {HTTP: "::"}} {
		if _, err := r.New(&berth.CheckDefinition{ID: "the-id", CheckTarget: target}); err == nil || !strings.Contains(err.Error(), "the-id") {
			t.Errorf("%+v: %v", target, err)
		}
	}
}

func TestRunner_EndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, never answers
	testutil.NoError(t, err)
	defer l.Close()
	addr := l.Addr().String()
	minute := berth.Duration(time.Minute)
	for _, target := range []berth.CheckTarget{
		{HTTP: "http://" + addr}, {TCP: addr, TCPUseTLS: true}, {UDP: addr}, {GRPC: addr}, {H2PING: addr},
		{ScriptArgs: []string{"sleep", "1000"}}, {DockerContainerID: "c", ScriptArgs: []string{"x"}},
	} {
		target.Timeout = minute
		r := NewRunners(Config{Docker: engineAt(addr)})
		runner, err := r.New(&berth.CheckDefinition{CheckTarget: target})
		testutil.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		begin := time.Now()
		runner.Run(ctx)
		cancel()
		r.Close()
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("%+v ran on for %v", target, d)
		}
	}
}
