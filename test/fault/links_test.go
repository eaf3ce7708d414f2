//go:build fault

package fault

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"berth/internal/testutil"
)

// drop makes a host lose what another sends to it, as far as the further words match.
func (c *Cluster) drop(at, from *host, match ...string) {
	c.rule(at, append([]string{"-s", from.addr()}, match...)...)
}

func (c *Cluster) rule(at *host, match ...string) {
	c.t.Helper()
	c.cut[at] = true
	args := append([]string{"-A", "INPUT", "-i", "eth0"}, match...)
	testutil.NoError(c.t, at.iptables(append(args, "-j", "DROP")...))
}

// Partition cuts the link between two hosts in both directions.
func (c *Cluster) Partition(a, b *host) {
	c.t.Helper()
	c.drop(a, b)
	c.drop(b, a)
}

// Isolate cuts a host off from all others.
func (c *Cluster) Isolate(h *host) {
	c.t.Helper()
	for _, other := range c.hosts {
		if other != h {
			c.Partition(h, other)
		}
	}
}

// OneWay loses what from sends to to; the other direction works.
func (c *Cluster) OneWay(from, to *host) {
	c.t.Helper()
	c.drop(to, from)
}

// BlockUDP blocks UDP between two hosts; TCP works.
func (c *Cluster) BlockUDP(a, b *host) {
	c.t.Helper()
	c.drop(a, b, "-p", "udp")
	c.drop(b, a, "-p", "udp")
}

// Lossy makes a host lose a share of all packets that come in.
func (c *Cluster) Lossy(h *host, share float64) {
	c.t.Helper()
	c.rule(h, "-m", "statistic", "--mode", "random", "--probability", fmt.Sprintf("%.2f", share))
}

// Slow lets a host send no more than this many kilobits a second, with the queue that comes of it.
func (c *Cluster) Slow(h *host, kbit int) {
	c.t.Helper()
	command(c.t, "tc", "-n", h.ns, "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", fmt.Sprintf("%dkbit", kbit), "burst", "8kb", "latency", "300ms")
	c.cut[h] = true
}

// Heal mends all links.
func (c *Cluster) Heal() {
	c.t.Helper()
	for h := range c.cut {
		testutil.NoError(c.t, h.iptables("-F", "INPUT"))
		_ = exec.Command("tc", "-n", h.ns, "qdisc", "del", "dev", "eth0", "root").Run() // an error: there is none
	}
	clear(c.cut)
}

// ChangeIP gives a host another address, and tells all hosts files.
func (c *Cluster) ChangeIP(h *host) {
	c.t.Helper()
	c.moves++
	dc := strings.TrimPrefix(h.dc, "dc")
	next := fmt.Sprintf("10.214.%s.%d", dc, 50+c.moves%200)
	ipBatch(c.t, h.ns, "addr flush dev eth0", "addr add "+next+"/16 dev eth0")
	h.mu.Lock()
	h.ip = next
	h.mu.Unlock()
	c.writeHosts()
}

// SmallDisk puts the data directory of a host on a disk of this many megabytes.
func (c *Cluster) SmallDisk(h *host, megabytes int) {
	c.t.Helper()
	testutil.NoError(c.t, os.MkdirAll(h.dataDir(), 0o755))
	testutil.NoError(c.t, syscall.Mount("berth-fault", h.dataDir(), "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)))
}

// FillDisk writes until the host's disk is full; the returned function makes room again.
func (c *Cluster) FillDisk(h *host) (free func()) {
	c.t.Helper()
	file := filepath.Join(h.dataDir(), "filler")
	f, err := os.Create(file)
	testutil.NoError(c.t, err)
	defer f.Close()
	for block := 1 << 20; block > 0; block /= 2 {
		for b := make([]byte, block); ; {
			if _, err := f.Write(b); err != nil {
				break
			}
		}
	}
	return func() { _ = os.Remove(file) }
}

// patience stretches a limit that is not itself promised, so that only a hang exceeds it, however
// busy the machine is.
func patience(d time.Duration) time.Duration {
	b, _ := os.ReadFile("/proc/loadavg")
	load := 0.0
	_, _ = fmt.Sscan(string(b), &load)
	return time.Duration(float64(d) * min(10, max(3, 2*load/float64(runtime.NumCPU()))))
}

func containsAll(s string, words ...string) bool {
	for _, w := range words {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}
