//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"
)

// debRoot unpacks Debian packages below build/debroot and gives the folder, with the environment
// that its programs need. Where they cannot be fetched the test is skipped, unless
// BERTH_REQUIRE_DOCKER=1 says that everything must run.
func debRoot(t *testing.T, name string, packages ...string) (string, []string) {
	t.Helper()
	dir, err := filepath.Abs("../../build/debroot/" + name)
	testutil.NoError(t, err)
	cmd := exec.Command("../../scripts/debroot.sh", append([]string{dir}, packages...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		if os.Getenv("BERTH_REQUIRE_DOCKER") == "1" {
			t.Fatalf("fetch %v: %v\n%s", packages, err, out)
		}
		t.Skipf("%v cannot be fetched here: %s", packages, out)
	}
	libs, err := os.ReadFile(filepath.Join(dir, ".libs"))
	testutil.NoError(t, err)
	return dir, append(os.Environ(), "LD_LIBRARY_PATH="+strings.TrimSpace(string(libs)))
}

// process is a program that runs until the test ends, or until it is stopped.
type process struct {
	t       *testing.T
	name    string
	cmd     *exec.Cmd
	log     syncBuffer
	stopped chan struct{}
}

func startProcess(t *testing.T, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(program), cmd: exec.Command(program, args...), stopped: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, &p.log, &p.log
	testutil.NoError(t, p.cmd.Start())
	go func() { _ = p.cmd.Wait(); close(p.stopped) }()
	t.Cleanup(func() {
		p.end(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.name, tail(p.log.String(), 4000))
		}
	})
	return p
}

// end signals the process and waits until it is gone.
func (p *process) end(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.stopped:
	case <-time.After(15 * time.Second):
		p.t.Errorf("%s did not end within 15 s of %v", p.name, sig)
		_ = p.cmd.Process.Kill()
		<-p.stopped
	}
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	testutil.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}
