//go:build fault

package fault

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// etcNetns is where `ip netns exec` looks for files to put over those of /etc.
const etcNetns = "/etc/netns"

// command runs a tool and ends the test when it fails.
func command(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// ipBatch runs lines of ip's language in a namespace; "" is the machine's own.
func ipBatch(t testing.TB, ns string, lines ...string) {
	t.Helper()
	args := []string{"-batch", "-"}
	if ns != "" {
		args = append([]string{"-n", ns}, args...)
	}
	cmd := exec.Command("ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s\n%s", strings.Join(args, " "), err, out, strings.Join(lines, "\n"))
	}
}

// switchNS is the namespace that holds the bridge of one cluster.
type switchNS struct {
	t     testing.TB
	name  string
	ports int
}

// newSwitch makes an empty switch; remove takes it away.
func newSwitch(t testing.TB, name string) *switchNS {
	t.Helper()
	s := &switchNS{t: t, name: name}
	ipBatch(t, "", "netns add "+name)
	ipBatch(t, name, "link set lo up", "link add br0 type bridge", "link set br0 up")
	return s
}

// plug makes a namespace with one interface, eth0, on the switch.
func (s *switchNS) plug(ns, ip string) {
	s.t.Helper()
	s.ports++
	port := fmt.Sprintf("p%d", s.ports)
	ipBatch(s.t, "", "netns add "+ns)
	ipBatch(s.t, ns, "link set lo up", fmt.Sprintf("link add eth0 type veth peer name %s netns %s", port, s.name),
		"addr add "+ip+"/16 dev eth0", "link set eth0 up")
	ipBatch(s.t, s.name, "link set "+port+" master br0", "link set "+port+" up")
}

// removeNS takes a namespace away with every process in it.
func removeNS(ns string) {
	if pids, err := exec.Command("ip", "netns", "pids", ns).Output(); err == nil {
		for p := range strings.FieldsSeq(string(pids)) {
			var pid int
			if _, err := fmt.Sscan(p, &pid); err == nil && pid > 1 && pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
	_ = exec.Command("ip", "netns", "del", ns).Run()
	_ = os.RemoveAll(filepath.Join(etcNetns, ns))
}

// homeNS is the test's own network namespace.
var homeNS = sync.OnceValues(func() (int, error) {
	return unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
})

// inNS runs f on a thread that is in another network namespace: sockets that f makes belong
// there for ever. f must not hand its work to other goroutines.
func inNS(ns string, f func() error) error {
	home, err := homeNS()
	if err != nil {
		return err
	}
	fd, err := unix.Open("/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", ns, err)
	}
	defer unix.Close(fd)
	runtime.LockOSThread()
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter %s: %w", ns, err)
	}
	ferr := f()
	if err := unix.Setns(home, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("leave %s: %w", ns, err) // the thread stays locked and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return ferr
}
