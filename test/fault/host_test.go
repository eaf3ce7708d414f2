//go:build fault

package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// host is a machine: a network namespace, a disk, and a berth process that may run.
type host struct {
	t      testing.TB
	name   string // node name
	dc     string
	server bool
	ns     string
	dir    string // its disk: configuration, data, log
	env    []string
	wrap   []string       // put before the command line of berth
	config map[string]any // in the words of Consul's configuration files
	http   *http.Client   // opens its connections inside the host

	mu      sync.Mutex // guards the rest
	ip      string
	cmd     *exec.Cmd
	stopped chan struct{} // closed when the process has ended
}

// DNS name of the host in the hosts files of all.
func (h *host) fqdn() string { return h.name + "." + h.dc + ".fault" }

func (h *host) dataDir() string { return filepath.Join(h.dir, "data") }

func (h *host) addr() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ip
}

func (h *host) set(kv map[string]any) { maps.Copy(h.config, kv) }

// Start runs berth with the host's configuration as a JSON file.
func (h *host) Start() {
	h.t.Helper()
	if err := h.start(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) start() error {
	if h.running() {
		return nil
	}
	c := map[string]any{"data_dir": h.dataDir(), "bind_addr": h.addr()}
	maps.Copy(c, h.config)
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	file := filepath.Join(h.dir, "berth.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(h.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := append([]string{"netns", "exec", h.ns}, h.wrap...)
	cmd := exec.Command("ip", append(args, berthBinary(), "agent", "-config-file", file)...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = h.environ(), log, log, h.dir
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", h.name, err)
	}
	stopped := make(chan struct{})
	go func() { _ = cmd.Wait(); close(stopped) }()
	h.mu.Lock()
	h.cmd, h.stopped = cmd, stopped
	h.mu.Unlock()
	return nil
}

func (h *host) environ() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.dir, "DOCKER_HOST=unix://" + filepath.Join(h.dir, "no-engine.sock")}
	return append(env, h.env...)
}

func (h *host) running() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cmd != nil && !closed(h.stopped)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (h *host) pid() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cmd == nil {
		return 0
	}
	return h.cmd.Process.Pid
}

// Kill ends the process as a crash would.
func (h *host) Kill() { h.end(syscall.SIGKILL) }

// Stop ends the process as an operator would.
func (h *host) Stop() { h.end(syscall.SIGTERM) }

func (h *host) end(sig syscall.Signal) {
	h.mu.Lock()
	cmd, stopped := h.cmd, h.stopped
	h.cmd = nil
	h.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(sig)
	select {
	case <-stopped:
	case <-time.After(patience(25 * time.Second)):
		h.t.Errorf("%s did not end in time after %v; its last words:\n%s", h.name, sig, h.tail(3000))
		_ = cmd.Process.Kill()
		<-stopped
	}
	h.http.CloseIdleConnections()
}

// awaitExit waits until the process has ended by itself, as after a leave.
func (h *host) awaitExit(limit time.Duration) error {
	h.mu.Lock()
	stopped := h.stopped
	h.mu.Unlock()
	select {
	case <-stopped:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("%s still runs after %v", h.name, limit)
	}
}

// exitCode is the status of a process that has ended by itself.
func (h *host) exitCode() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cmd.ProcessState.ExitCode()
}

// Pause stops the process where it is, as a stalled machine would, and lets it go on after d.
func (h *host) Pause(d time.Duration) {
	pid := h.pid()
	if pid == 0 {
		return
	}
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	time.Sleep(d)
	_ = syscall.Kill(pid, syscall.SIGCONT)
}

// Restart stops a process in order and starts it again.
func (h *host) Restart() { h.Stop(); h.Start() }

// WipeData empties the data directory of a process that does not run.
func (h *host) WipeData() error {
	if h.running() {
		return errors.New("wipe of the data of a running process")
	}
	return os.RemoveAll(h.dataDir())
}

func (h *host) logFile() string { return filepath.Join(h.dir, "log") }

// log is everything that the host's processes have said so far.
func (h *host) log() string {
	b, _ := os.ReadFile(h.logFile())
	return string(b)
}

func (h *host) tail(n int) string {
	s := h.log()
	return s[max(0, len(s)-n):]
}

// logged is an error until the log has a line with all of the words.
func (h *host) logged(words ...string) error {
	if len(h.linesWith(words...)) == 0 {
		return fmt.Errorf("the log of %s has no line with %q", h.name, words)
	}
	return nil
}

func (h *host) linesWith(words ...string) []string {
	var out []string
	for line := range strings.Lines(h.log()) {
		ok := true
		for _, w := range words {
			ok = ok && strings.Contains(line, w)
		}
		if ok {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// berth runs a command of the binary on the host.
func (h *host) berth(args ...string) (string, error) {
	cmd := exec.Command("ip", append([]string{"netns", "exec", h.ns, berthBinary()}, args...)...)
	cmd.Env = h.environ()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// iptables changes the rules of the host for what comes in by its network card.
func (h *host) iptables(args ...string) error {
	out, err := exec.Command("ip", append([]string{"netns", "exec", h.ns, "iptables", "-w"}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("iptables %s on %s: %w: %s", strings.Join(args, " "), h.name, err, out)
	}
	return nil
}
