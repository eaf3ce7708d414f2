package compat

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// berthBin is the binary under test: BERTH_BIN, or bin/berth of this tree.
func berthBin(t testing.TB) string {
	t.Helper()
	path := os.Getenv("BERTH_BIN")
	if path == "" {
		path = "../../bin/berth"
	}
	path, err := filepath.Abs(path)
	noError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no binary: run `make build` first: %v", err)
	}
	return path
}

// ports hands out each port of 23000 to 23999 once.
var ports = struct {
	mu   sync.Mutex // guards next
	next int
}{next: 23000 + os.Getpid()%90*10}

// freePort is a port that is free for TCP and UDP on all loopback addresses now.
func freePort(t testing.TB) int {
	t.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	for range 1000 {
		port := ports.next
		if ports.next++; ports.next == 24000 {
			ports.next = 23000
		}
		if portIsFree(port) {
			return port
		}
	}
	t.Fatal("no port of 23000-23999 is free for both TCP and UDP")
	return 0
}

// portIsFree tries a port. No program may be started meanwhile: between fork and exec it would
// hold the socket open after it was closed here.
func portIsFree(port int) bool {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	addr := fmt.Sprintf("0.0.0.0:%d", port)
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

// process is a program that runs until the test ends.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	log  *syncBuffer
	end  syscall.Signal // what ends it
	done chan struct{}  // closed when it has ended
}

// start runs a program with its output kept; it is ended with the test.
func start(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(cmd.Path), cmd: cmd, log: &syncBuffer{}, end: syscall.SIGTERM, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.WaitDelay = time.Second // children may hold the pipe open
	noError(t, cmd.Start())
	go func() { _ = cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.signal(p.end)
		if t.Failed() {
			out := p.log.String()
			t.Logf("the log of %s:\n%s", p.name, out[max(0, len(out)-4000):])
		}
	})
	return p
}

// signal sends sig and waits for the end.
func (p *process) signal(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.t.Errorf("%s did not end within 20 s of %v", p.name, sig)
		_ = p.cmd.Process.Kill()
		<-p.done
	}
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

// agent is a running berth and the official client for it.
type agent struct {
	*process
	*api.Client
	node, ip               string
	http, serfLAN, serfWAN int
}

// startAgent runs `berth agent` as node on ip with free ports and waits until it has a leader.
func startAgent(t testing.TB, node, ip string, args ...string) *agent {
	t.Helper()
	a := &agent{node: node, ip: ip, http: freePort(t), serfLAN: freePort(t), serfWAN: freePort(t)}
	cmd := exec.Command(berthBin(t), append([]string{"agent", "-node", node, "-bind", ip, "-client", ip, "-http-port", fmt.Sprint(a.http),
		"-dns-port", fmt.Sprint(freePort(t)), "-server-port", fmt.Sprint(freePort(t)), "-serf-lan-port", fmt.Sprint(a.serfLAN),
		"-serf-wan-port", fmt.Sprint(a.serfWAN)}, args...)...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+filepath.Join(t.TempDir(), "no-engine.sock"))
	a.process = start(t, cmd)
	a.Client = a.client(t)
	eventually(t, 20*time.Second, func() error {
		select {
		case <-a.done:
			t.Fatalf("the agent ended: %s", a.log.String())
		default:
		}
		leader, err := a.Status().Leader()
		if err == nil && leader == "" {
			err = errors.New("no leader")
		}
		return err
	})
	eventually(t, 20*time.Second, func() error { // sessions need it
		checks, _, err := a.Health().Node(node, nil)
		if err == nil && len(checks) == 0 {
			err = errors.New("the node is not in the catalog")
		}
		return err
	})
	return a
}

// addr is where the HTTP API is.
func (a *agent) addr() string { return fmt.Sprintf("%s:%d", a.ip, a.http) }

// client makes a further client with connections of its own.
func (a *agent) client(t testing.TB) *api.Client {
	t.Helper()
	conf := api.DefaultConfig()
	conf.Address = a.addr()
	c, err := api.NewClient(conf)
	noError(t, err)
	return c
}

// dev runs a fresh -dev server as node n1.
func dev(t testing.TB, args ...string) *agent {
	t.Helper()
	return startAgent(t, "n1", "127.0.0.1", append([]string{"-dev"}, args...)...)
}

// server runs a fresh durable server as node n1.
func server(t testing.TB, args ...string) *agent {
	t.Helper()
	return startAgent(t, "n1", "127.0.0.1", append([]string{"-server", "-bootstrap-expect", "1", "-data-dir", t.TempDir()}, args...)...)
}

// eventually calls f until it returns nil; after limit the test ends with f's last error.
func eventually(t testing.TB, limit time.Duration, f func() error) {
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
		time.Sleep(20 * time.Millisecond)
	}
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

func equal(t testing.TB, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %#v\nwant %#v", got, want)
	}
}

// must gives the answer of a client's read and ends the test when there is none.
func must[T any](v T, _ *api.QueryMeta, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		noError(t, err)
		return v
	}
}
