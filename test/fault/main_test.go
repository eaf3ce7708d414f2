//go:build fault

package fault

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// janitorEnv makes this binary a janitor: it waits for the end of its input, which is the end of
// the test process, and removes what that left behind. Its value is the prefix of all names.
const janitorEnv = "BERTH_FAULT_JANITOR"

// baseDir holds all data directories and logs of this process, and is part of every command
// line that a host runs.
var baseDir string

// prefix begins the name of everything this process makes on the machine.
var prefix = fmt.Sprintf("bf%d", os.Getpid())

func TestMain(m *testing.M) {
	if p := os.Getenv(janitorEnv); p != "" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		clean(p)
		return
	}
	if why := unable(); why != "" {
		if os.Getenv("BERTH_REQUIRE_FAULT") == "1" {
			fmt.Fprintln(os.Stderr, "network namespaces are required:", why)
			os.Exit(1)
		}
		fmt.Println("skipped, no network namespaces here:", why)
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	baseDir = dirOf(prefix)
	if err := os.MkdirAll(baseDir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	stop, err := startJanitor()
	if err != nil {
		fmt.Fprintln(os.Stderr, "start janitor:", err)
		return 1
	}
	defer stop()
	return m.Run()
}

// places are for the tests that run beside one another and beside TestSchedule. They mostly wait,
// so there may be more of them than processors.
var places = make(chan struct{}, 4)

// beside lets a test run beside others. Tests that measure a promised time do not call it: they
// have the machine to themselves.
func beside(t *testing.T) {
	t.Parallel()
	places <- struct{}{}
	t.Cleanup(func() { <-places })
}

// startJanitor starts the process that cleans up after this one, however it ends.
func startJanitor() (stop func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), janitorEnv+"="+prefix)
	cmd.Stdin = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // an interrupt from the terminal is not for it
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r.Close()
	return func() { w.Close(); _ = cmd.Wait() }, nil
}

func dirOf(prefix string) string { return filepath.Join(os.TempDir(), "berth-fault-"+prefix) }

// clean removes namespaces, processes, mounts and files whose names begin with the prefix.
func clean(prefix string) {
	all, _ := filepath.Glob("/run/netns/" + prefix + "-*")
	for _, ns := range all {
		removeNS(filepath.Base(ns))
	}
	dir := dirOf(prefix)
	mounts, _ := os.ReadFile("/proc/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			_ = syscall.Unmount(f[1], syscall.MNT_DETACH)
		}
	}
	if os.Getenv("BERTH_FAULT_KEEP") == "" {
		_ = os.RemoveAll(dir)
	}
}

// unable says why the tests cannot run here; "" when they can.
func unable() string {
	if os.Getuid() != 0 {
		return "not root"
	}
	for _, tool := range []string{"ip", "iptables"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err.Error()
		}
	}
	if _, err := os.Stat(berthBinary()); err != nil {
		return "no binary, run `make build` first: " + err.Error()
	}
	return ""
}

// berthBinary is the berth under test: BERTH_BIN, or bin/berth of this tree.
func berthBinary() string {
	if p := os.Getenv("BERTH_BIN"); p != "" {
		return p
	}
	p, err := filepath.Abs("../../bin/berth")
	if err != nil {
		return ""
	}
	return p
}
