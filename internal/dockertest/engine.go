// Package dockertest runs a Docker engine of the test's own, beside the machine's, so that a
// test may restart it, kill it or fill it with containers. It needs root, dockerd and iproute2.
package dockertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Image is the name of the image that every engine holds: test/webapp on scratch.
const Image = "berth-webapp"

var counter atomic.Int32

// Engine is a dockerd with its own data, socket and bridge.
type Engine struct {
	t      testing.TB
	dir    string
	bridge string
	flags  []string

	mu  sync.Mutex // guards cmd
	cmd *exec.Cmd
}

// Require ends the test as skipped when no engine can be run here; with BERTH_REQUIRE_DOCKER=1
// it fails instead.
func Require(t testing.TB) {
	t.Helper()
	var why string
	if os.Getuid() != 0 {
		why = "not root"
	}
	for _, tool := range []string{"dockerd", "docker", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			why = err.Error()
		}
	}
	switch {
	case why == "":
	case os.Getenv("BERTH_REQUIRE_DOCKER") == "1":
		t.Fatalf("a Docker engine is required: %s", why)
	default:
		t.Skipf("no Docker engine can be run here: %s", why)
	}
}

// Start runs an engine that ends, with all its containers, when the test ends. flags are
// further flags of dockerd, such as "--live-restore".
func Start(t testing.TB, flags ...string) *Engine {
	t.Helper()
	Require(t)
	dir, err := os.MkdirTemp("", "berth-engine-")
	if err != nil {
		t.Fatal(err)
	}
	n := int(counter.Add(1))
	e := &Engine{t: t, dir: dir, bridge: fmt.Sprintf("bt%d.%d", os.Getpid()%100000, n), flags: flags}
	subnet := fmt.Sprintf("10.213.%d.1/24", (os.Getpid()+n*7)%250)
	e.command("ip", "link", "add", e.bridge, "type", "bridge")
	t.Cleanup(e.remove)
	e.command("ip", "addr", "add", subnet, "dev", e.bridge)
	e.command("ip", "link", "set", e.bridge, "up")
	if err := os.WriteFile(filepath.Join(dir, "daemon.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Up()
	e.importImage()
	return e
}

// Host is the value for DOCKER_HOST.
func (e *Engine) Host() string { return "unix://" + filepath.Join(e.dir, "docker.sock") }

// Up starts dockerd and waits until it answers.
func (e *Engine) Up() {
	e.t.Helper()
	args := append([]string{
		"--config-file", filepath.Join(e.dir, "daemon.json"), "--data-root", filepath.Join(e.dir, "data"),
		"--exec-root", filepath.Join(e.dir, "exec"), "-p", filepath.Join(e.dir, "pid"), "-H", e.Host(),
		"--bridge", e.bridge, "--iptables=false", "--ip-masq=false",
	}, e.flags...)
	if _, err := exec.LookPath("fuse-overlayfs"); err == nil {
		args = append(args, "--storage-driver", "fuse-overlayfs")
	}
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		e.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("dockerd", args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.mu.Lock()
	e.cmd = cmd
	e.mu.Unlock()
	deadline := time.Now().Add(60 * time.Second)
	for !e.answers() {
		if time.Now().After(deadline) {
			tail, _ := os.ReadFile(filepath.Join(e.dir, "log"))
			e.t.Fatalf("dockerd did not answer within 60 s:\n%s", tail[max(0, len(tail)-4000):])
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (e *Engine) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "-H", e.Host(), "version").Run() == nil
}

// Down stops dockerd gracefully, which stops its containers unless it runs with live-restore.
func (e *Engine) Down() { e.end(syscall.SIGTERM) }

// Kill ends dockerd at once, as a crash would. Its containerd dies with it; where process 1
// reaps no orphans the next dockerd would take the zombie for a running containerd, so its pid
// file goes too.
func (e *Engine) Kill() {
	e.end(syscall.SIGKILL)
	_ = os.Remove(filepath.Join(e.dir, "exec/containerd/containerd.pid"))
}

// Restart is Down and Up.
func (e *Engine) Restart() { e.Down(); e.Up() }

func (e *Engine) end(sig syscall.Signal) {
	e.mu.Lock()
	cmd := e.cmd
	e.cmd = nil
	e.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(sig)
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		_ = cmd.Process.Kill()
		<-done
	}
}

// Docker runs the docker command against this engine and returns its trimmed output.
func (e *Engine) Docker(args ...string) string {
	e.t.Helper()
	out, err := e.TryDocker(args...)
	if err != nil {
		e.t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// portTries is how often `docker run` and `docker start` are repeated when the ports that the engine
// chose are in use: engines take the next ten of the ephemeral range without asking the kernel,
// which gives the same ports to outgoing connections and to other engines.
const portTries = 5

// TryDocker is Docker for calls that may fail.
func (e *Engine) TryDocker(args ...string) (out string, err error) {
	for range portTries {
		out, err = e.tryOnce(args...)
		if err == nil || !strings.Contains(out, "address already in use") || args[0] != "run" && args[0] != "start" {
			break
		}
		if args[0] == "run" {
			id, _, _ := strings.Cut(out, "\n")
			_, _ = e.tryOnce("rm", "-f", strings.TrimSpace(id))
		}
	}
	return out, err
}

func (e *Engine) tryOnce(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", append([]string{"-H", e.Host()}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (e *Engine) command(name string, args ...string) {
	e.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		e.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func (e *Engine) remove() {
	if t, ok := e.t.(*testing.T); ok && t.Failed() {
		tail, _ := os.ReadFile(filepath.Join(e.dir, "log"))
		t.Logf("the engine's log:\n%s", tail[max(0, len(tail)-6000):])
	}
	e.removeContainers()
	e.Down()
	e.endShims()
	_ = exec.Command("ip", "link", "del", e.bridge).Run()
	e.unmount()
	_ = os.RemoveAll(e.dir)
}

func (e *Engine) removeContainers() {
	if !e.answers() {
		return
	}
	if ids, err := e.TryDocker("ps", "-aq"); err == nil && ids != "" {
		_, _ = e.TryDocker(append([]string{"rm", "-f"}, strings.Fields(ids)...)...)
	}
}

// endShims ends containerd and its shims that outlived a killed dockerd: the processes whose
// command line names this engine's own folder.
func (e *Engine) endShims() {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		line, err := os.ReadFile(p)
		if err != nil || !strings.Contains(string(line), e.dir+"/") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(p))); err == nil && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func (e *Engine) unmount() {
	mounts, _ := os.ReadFile("/proc/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], e.dir) {
			_ = syscall.Unmount(f[1], syscall.MNT_DETACH)
		}
	}
}
