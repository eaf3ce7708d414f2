//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/testutil"
)

// Writers run while the server is killed with -9: whatever was acknowledged is there afterwards.
func TestServer_KillLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	a := startAgent(t, "", "-server", "-bootstrap-expect", "1", "-data-dir", dir)
	for round := range 3 {
		var acked sync.Map
		var stop atomic.Bool
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := 0; !stop.Load(); i++ {
					key := fmt.Sprintf("r%d/w%d/%d", round, w, i)
					if _, err := a.put("/v1/kv/"+key, "v"); err != nil {
						return
					}
					acked.Store(key, true)
				}
			}()
		}
		testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error {
			n := 0
			acked.Range(func(any, any) bool { n++; return true })
			if n < 500 {
				return fmt.Errorf("%d writes acknowledged", n)
			}
			return nil
		})
		a.kill()
		stop.Store(true)
		wg.Wait()
		a.start()
		a.waitLeader()
		n := 0
		acked.Range(func(k, _ any) bool {
			n++
			if _, err := a.get("/v1/kv/" + k.(string)); err != nil {
				t.Fatalf("acknowledged write is lost: %v", err)
			}
			return true
		})
		t.Logf("round %d: %d acknowledged writes, none lost", round, n)
	}
}

// A service registered through the API is still there after kill -9 and restart.
func TestServer_KillKeepsServices(t *testing.T) {
	a := startAgent(t, "", "-server", "-bootstrap-expect", "1", "-data-dir", t.TempDir())
	_, err := a.put("/v1/agent/service/register", `{"Name":"kept","ID":"kept-1","Port":8080,"Check":{"TTL":"1h","Status":"passing"}}`)
	testutil.NoError(t, err)
	a.kill()
	a.start()
	a.waitLeader()
	testutil.Eventually(t, 5*time.Second, 20*time.Millisecond, func() error {
		b, err := a.get("/v1/health/service/kept?passing")
		if err == nil && !strings.Contains(string(b), "kept-1") {
			err = fmt.Errorf("not healthy in the catalog: %s", b)
		}
		return err
	})
}

// runToEnd starts an agent that must refuse to run and returns what it said.
func runToEnd(t *testing.T, args ...string) string {
	t.Helper()
	a := &agent{t: t, log: &syncBuffer{}, env: os.Environ(), args: append([]string{"agent"}, args...)}
	a.start()
	t.Cleanup(a.kill)
	select {
	case <-a.stopped:
	case <-time.After(10 * time.Second):
		t.Fatalf("the agent went on:\n%s", a.log)
	}
	if code := a.cmd.ProcessState.ExitCode(); code == 0 {
		t.Errorf("exit code 0, want another:\n%s", a.log)
	}
	return a.log.String()
}

func TestAgent_RefusesClearly(t *testing.T) {
	dir := t.TempDir()
	a := startAgent(t, "", "-server", "-bootstrap-expect", "1", "-data-dir", dir)
	file := filepath.Join(t.TempDir(), "file")
	testutil.NoError(t, os.WriteFile(file, nil, 0o600))
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	testutil.NoError(t, os.WriteFile(bad, []byte("data_dir: /tmp/x\nserevr: true\n"), 0o600))

	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"unknown flag", []string{"-dev", "-nonsense"}, []string{"nonsense"}},
		{"unknown key", []string{"-config-file", bad}, []string{"serevr", "bad.yaml:2", "server"}},
		{"no data directory", []string{"-server", "-bind", "127.0.0.1"}, []string{"data_dir"}},
		{"data directory is a file", []string{"-server", "-bootstrap-expect", "1", "-bind", "127.0.0.1", "-data-dir", file,
			"-http-port", fmt.Sprint(testutil.FreePort(t)), "-dns-port", "-1"}, []string{file}},
		{"second agent on the directory", append(slices.Clone(a.args[1:]), "-http-port", fmt.Sprint(testutil.FreePort(t)),
			"-dns-port", "-1", "-server-port", fmt.Sprint(testutil.FreePort(t)), "-serf-lan-port", fmt.Sprint(testutil.FreePort(t)),
			"-serf-wan-port", fmt.Sprint(testutil.FreePort(t))), []string{dir}},
		{"port in use", []string{"-dev", "-http-port", fmt.Sprint(a.http), "-dns-port", "-1", "-server-port",
			fmt.Sprint(testutil.FreePort(t)), "-serf-lan-port", fmt.Sprint(testutil.FreePort(t)), "-serf-wan-port",
			fmt.Sprint(testutil.FreePort(t))}, []string{fmt.Sprint(a.http), "berth"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := runToEnd(t, c.args...)
			for _, w := range c.want {
				if !strings.Contains(log, w) {
					t.Errorf("the message does not name %q:\n%s", w, log)
				}
			}
			if strings.Contains(log, "goroutine ") {
				t.Errorf("a panic instead of a message:\n%s", log)
			}
		})
	}
}
