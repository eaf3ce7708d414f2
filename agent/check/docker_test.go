package check

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"

	"berth"
	"berth/internal/testutil"
)

// fakeEngine answers the three calls of an exec check.
type fakeEngine struct {
	mu      sync.Mutex // guards the fields
	exit    int
	hang    bool
	running bool // what an inspect of the exec says
	cmd     []string
	created int
}

func (e *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case strings.HasSuffix(path, "/_ping"):
		w.Header().Set("Api-Version", "1.45")
	case strings.HasSuffix(path, "/containers/none/exec"):
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"message":"No such container: none"}`)
	case strings.HasSuffix(path, "/containers/c1/exec"):
		var opts struct{ Cmd []string }
		if json.Unmarshal(body, &opts) == nil {
			e.cmd = opts.Cmd
		}
		e.created++
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"Id":"e1"}`)
	case strings.HasSuffix(path, "/exec/e1/start"):
		e.stream(w)
	case strings.HasSuffix(path, "/exec/e1/json"):
		fmt.Fprintf(w, `{"ID":"e1","Running":%t,"ExitCode":%d}`, e.running, e.exit)
	default:
		http.NotFound(w, r)
	}
}

func (e *fakeEngine) set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
}

func (e *fakeEngine) stream(w http.ResponseWriter) {
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	fmt.Fprint(rw, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	fmt.Fprint(stdcopy.NewStdWriter(rw, stdcopy.Stdout), "out\n")
	fmt.Fprint(stdcopy.NewStdWriter(rw, stdcopy.Stderr), "err\n")
	rw.Flush()
	if !e.hang {
		conn.Close()
		return
	}
	go func() {
		defer conn.Close()
		io.Copy(io.Discard, conn) //nolint:errcheck // ends with the connection
	}()
}

func TestDockerExec(t *testing.T) {
	e := &fakeEngine{}
	srv := httptest.NewServer(e)
	defer srv.Close()
	r := NewRunners(Config{Docker: engineAt(srv.Listener.Addr().String())})
	defer r.Close()
	exec := func(target berth.CheckTarget) Result {
		t.Helper()
		runner, err := r.New(&berth.CheckDefinition{CheckTarget: target})
		testutil.NoError(t, err)
		return runner.Run(t.Context())
	}
	target := berth.CheckTarget{DockerContainerID: "c1", ScriptArgs: []string{"probe", "-x"}}
	for exit, status := range map[int]string{0: "passing", 1: "warning", 2: "critical"} {
		e.set(func() { e.exit = exit })
		expect(t, exec(target), status, "out\nerr\n")
	}
	testutil.Equal(t, e.cmd, []string{"probe", "-x"})
	e.set(func() { e.exit = 127 })
	expect(t, exec(target), "critical", `the container has no "probe"`)
	target.Shell = "/bin/bash"
	exec(target)
	testutil.Equal(t, e.cmd, []string{"/bin/bash", "-c", "probe -x"})
	expect(t, exec(berth.CheckTarget{DockerContainerID: "none", ScriptArgs: []string{"x"}}), "critical", "No such container")

	e.set(func() { e.hang = true })
	target.Timeout = short
	begin := time.Now()
	hung := exec(target)
	expect(t, hung, "critical", "Timed out")
	testutil.Equal(t, hung.Final, true)
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("timed out after %v", d)
	}
}

// Failure 41: the engine cannot end a command that hangs, so none is started beside it.
func TestFailure41_ExecsDoNotPileUp(t *testing.T) {
	e := &fakeEngine{hang: true, running: true}
	srv := httptest.NewServer(e)
	defer srv.Close()
	r := NewRunners(Config{Docker: engineAt(srv.Listener.Addr().String())})
	defer r.Close()
	runner, err := r.New(&berth.CheckDefinition{CheckTarget: berth.CheckTarget{
		DockerContainerID: "c1", ScriptArgs: []string{"sleep", "forever"}, Timeout: short}})
	testutil.NoError(t, err)
	expect(t, runner.Run(t.Context()), "critical", "Timed out")
	for range 3 {
		expect(t, runner.Run(t.Context()), "critical", "still runs")
	}
	testutil.Equal(t, e.created, 1)
	e.set(func() { e.hang, e.running = false, false })
	expect(t, runner.Run(t.Context()), "passing", "out")
	testutil.Equal(t, e.created, 2)
}

// engineAt is an engine that listens on TCP.
func engineAt(addr string) DockerClient {
	return func() (*client.Client, error) {
		return client.NewClientWithOpts(client.WithHost("tcp://"+addr), client.WithAPIVersionNegotiation())
	}
}
