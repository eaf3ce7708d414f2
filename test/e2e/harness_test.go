//go:build e2e

// Package e2e drives the real binary against real Docker engines over real sockets.
package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"

	"github.com/miekg/dns"
)

// berthBin is the binary under test: BERTH_BIN, or bin/berth of this tree.
func berthBin(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("BERTH_BIN"); p != "" {
		return p
	}
	p, err := filepath.Abs("../../bin/berth")
	testutil.NoError(t, err)
	if _, err := os.Stat(p); err != nil {
		t.Fatalf("no binary: run `make build` first: %v", err)
	}
	return p
}

// agent is a running berth process.
type agent struct {
	t       testing.TB
	args    []string
	env     []string
	http    int
	dns     int
	log     *syncBuffer
	cmd     *exec.Cmd
	stopped chan struct{}
}

type syncBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// startAgent runs `berth agent` with free ports and waits until it has a leader. dockerHost ""
// leaves it without an engine.
func startAgent(t testing.TB, dockerHost string, args ...string) *agent {
	t.Helper()
	a := &agent{t: t, http: testutil.FreePort(t), dns: testutil.FreePort(t), log: &syncBuffer{}}
	if dockerHost == "" {
		dockerHost = "unix://" + filepath.Join(t.TempDir(), "no-engine.sock")
	}
	a.env = append(os.Environ(), "DOCKER_HOST="+dockerHost)
	a.args = append([]string{
		"agent", "-node", "e2e", "-bind", "127.0.0.1", "-http-port", fmt.Sprint(a.http), "-dns-port", fmt.Sprint(a.dns),
		"-server-port", fmt.Sprint(testutil.FreePort(t)), "-serf-lan-port", fmt.Sprint(testutil.FreePort(t)),
		"-serf-wan-port", fmt.Sprint(testutil.FreePort(t)),
	}, args...)
	t.Cleanup(func() {
		a.stop()
		if t.Failed() {
			t.Logf("the agent's log:\n%s", tail(a.log.String(), 6000))
		}
	})
	a.start()
	a.waitLeader()
	return a
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func (a *agent) start() {
	a.t.Helper()
	cmd := exec.Command(berthBin(a.t), a.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = a.env, a.log, a.log
	testutil.NoError(a.t, cmd.Start())
	stopped := make(chan struct{})
	go func() { _ = cmd.Wait(); close(stopped) }()
	a.cmd, a.stopped = cmd, stopped
}

func (a *agent) waitLeader() {
	a.t.Helper()
	testutil.Eventually(a.t, 15*time.Second, 5*time.Millisecond, func() error {
		select {
		case <-a.stopped:
			a.t.Fatalf("the agent ended: %s", tail(a.log.String(), 3000))
		default:
		}
		body, err := a.get("/v1/status/leader")
		if err == nil && string(body) == `""` {
			err = errors.New("no leader")
		}
		return err
	})
}

// stop ends the agent as an operator would and waits for it.
func (a *agent) stop() { a.signal(syscall.SIGTERM) }

// kill ends the agent as a crash would.
func (a *agent) kill() { a.signal(syscall.SIGKILL) }

func (a *agent) signal(sig syscall.Signal) {
	if a.cmd == nil {
		return
	}
	_ = a.cmd.Process.Signal(sig)
	select {
	case <-a.stopped:
	case <-time.After(20 * time.Second):
		a.t.Errorf("the agent did not end within 20 s of %v", sig)
		_ = a.cmd.Process.Kill()
		<-a.stopped
	}
	a.cmd = nil
}

func (a *agent) get(path string) ([]byte, error) { return a.do(http.MethodGet, path, "") }

func (a *agent) put(path, body string) ([]byte, error) { return a.do(http.MethodPut, path, body) }

func (a *agent) do(method, path, body string) ([]byte, error) {
	req, err := http.NewRequest(method, fmt.Sprintf("http://127.0.0.1:%d%s", a.http, path), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	return b, err
}

func (a *agent) getJSON(path string, into any) {
	a.t.Helper()
	b, err := a.get(path)
	testutil.NoError(a.t, err)
	testutil.NoError(a.t, json.Unmarshal(b, into))
}

// berth runs a berth command against this agent.
func (a *agent) berth(args ...string) (string, error) {
	cmd := exec.Command(berthBin(a.t), args...)
	cmd.Env = append(a.env, fmt.Sprintf("BERTH_HTTP_ADDR=127.0.0.1:%d", a.http))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// query asks this agent's DNS over UDP.
func (a *agent) query(name string, qtype uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), qtype)
	c := dns.Client{Timeout: 2 * time.Second}
	r, _, err := c.Exchange(m, net.JoinHostPort("127.0.0.1", fmt.Sprint(a.dns)))
	return r, err
}

// answers gives the answer section's data, sorted: addresses, or port and target for SRV.
func (a *agent) answers(name string, qtype uint16) ([]string, int, error) {
	r, err := a.query(name, qtype)
	if err != nil {
		return nil, 0, err
	}
	var out []string
	for _, rr := range r.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			out = append(out, rr.A.String())
		case *dns.SRV:
			out = append(out, fmt.Sprintf("%d %s", rr.Port, rr.Target))
		default:
			out = append(out, rr.String())
		}
	}
	slices.Sort(out)
	return out, r.Rcode, nil
}

// resolves says whether name has an answer of this type now.
func (a *agent) resolves(name string, qtype uint16) error {
	got, rcode, err := a.answers(name, qtype)
	if err == nil && len(got) == 0 {
		err = fmt.Errorf("%s: %s, no answer", name, dns.RcodeToString[rcode])
	}
	return err
}

// gone says whether name does not exist now.
func (a *agent) gone(name string) error {
	got, rcode, err := a.answers(name, dns.TypeA)
	if err == nil && rcode != dns.RcodeNameError {
		err = fmt.Errorf("%s still answers %s %v", name, dns.RcodeToString[rcode], got)
	}
	return err
}
