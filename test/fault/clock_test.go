//go:build fault && amd64

package fault

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"
)

// clockStub takes the place of the kernel's clock_gettime in the vDSO of one process: it asks by
// a system call and adds the seconds at clockOffset to CLOCK_REALTIME. Go binaries are static
// and read the clock there, so a preloaded library could not do it.
var clockStub = []byte{
	0xb8, 0xe4, 0, 0, 0, // mov eax, 228 (clock_gettime)
	0x0f, 0x05, // syscall
	0x85, 0xff, // test edi, edi (CLOCK_REALTIME is 0)
	0x75, 0x0a, // jne ret
	0x48, 0x8b, 0x0d, 6, 0, 0, 0, // mov rcx, [rip+6]
	0x48, 0x01, 0x0e, // add [rsi], rcx
	0xc3,       // ret
	0x90, 0x90, // to clockOffset
	0, 0, 0, 0, 0, 0, 0, 0,
}

const clockOffset = 24

// JumpClock sets the wall clock of the host's process off by whole seconds from now on; the
// monotonic clock goes on as if nothing had happened.
func (h *host) JumpClock(by time.Duration) error {
	pid := h.pid()
	base, code, err := vdso(pid)
	if err != nil {
		return err
	}
	f, err := elf.NewFile(bytes.NewReader(code))
	if err != nil {
		return fmt.Errorf("vDSO: %w", err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return fmt.Errorf("vDSO: %w", err)
	}
	entry := uint64(0)
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			entry = s.Value
		}
	}
	if entry == 0 {
		return fmt.Errorf("the vDSO has no clock_gettime")
	}
	stub := uint64(len(code) - len(clockStub) - 8)
	if code[entry] == 0xe9 { // a jump of before: only the offset changes
		stub = entry + 5 + uint64(int64(int32(binary.LittleEndian.Uint32(code[entry+1:]))))
	} else if len(bytes.Trim(code[stub:], "\x00")) > 0 {
		return fmt.Errorf("the vDSO has no room")
	}
	body := bytes.Clone(clockStub)
	binary.LittleEndian.PutUint64(body[clockOffset:], uint64(int64(by/time.Second)))
	jump := []byte{0xe9, 0, 0, 0, 0}
	binary.LittleEndian.PutUint32(jump[1:], uint32(int32(int64(stub)-int64(entry)-5)))

	_ = syscall.Kill(pid, syscall.SIGSTOP)
	defer syscall.Kill(pid, syscall.SIGCONT)
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	if _, err := mem.WriteAt(body, int64(base+stub)); err != nil {
		return fmt.Errorf("write to the vDSO: %w", err)
	}
	if _, err := mem.WriteAt(jump, int64(base+entry)); err != nil {
		return fmt.Errorf("write to the vDSO: %w", err)
	}
	return nil
}

// vdso gives the address and the bytes of a process's vDSO.
func vdso(pid int) (base uint64, code []byte, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, nil, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.Contains(line, "[vdso]") {
			continue
		}
		var end uint64
		if _, err := fmt.Sscanf(line, "%x-%x", &base, &end); err != nil {
			return 0, nil, err
		}
		mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
		if err != nil {
			return 0, nil, err
		}
		defer mem.Close()
		code = make([]byte, end-base)
		_, err = mem.ReadAt(code, int64(base))
		return base, code, err
	}
	return 0, nil, fmt.Errorf("process %d has no vDSO", pid)
}

// clock is what the host's process thinks the time is, as an HTTP answer's date says.
func (h *host) clock(t testing.TB) time.Time {
	t.Helper()
	_, head, err := h.do(t.Context(), "GET", "/v1/agent/services", "")
	testutil.NoError(t, err)
	at, err := time.Parse(time.RFC1123, head.Get("Date"))
	testutil.NoError(t, err)
	return at
}

func TestPromise_ClockJump_NothingDies(t *testing.T) {
	beside(t)
	c := newCluster(t, options{servers: 3, clients: 1, key: testKey})
	client := c.clients[0]
	if err := client.JumpClock(0); err != nil {
		t.Skipf("no clock can be changed here: %v", err)
	}
	testutil.NoError(t, client.register("web", "web", 80))
	c.eventually(patience(5*time.Second), func() error { return client.resolves("web.service.consul", 1) })
	dns := client.streamDNS(t, "web.service.consul")
	acks := startWriters(t, "acked", client)
	for _, by := range []time.Duration{time.Hour, -time.Hour, 400 * 24 * time.Hour, -400 * 24 * time.Hour} {
		for _, h := range []*host{c.waitLeader("dc1", patience(10*time.Second)), client} {
			testutil.NoError(t, h.JumpClock(by))
			if got := time.Until(h.clock(t)); got < by-time.Minute || got > by+time.Minute {
				t.Fatalf("the clock of %s is %v off, want %v", h.name, got, by)
			}
			for began := time.Now(); time.Since(began) < 2*time.Second; time.Sleep(50 * time.Millisecond) {
				c.write(h, "jumped")
				testutil.NoError(t, client.resolves("web.service.consul", 1))
			}
			c.restartBeside(h, by)
		}
	}
	dns.withoutGap(t)
	acks.present(t, client, "acked")
	c.agree(patience(10 * time.Second))
}

// restartBeside restarts a server beside a host whose clock is off, so that they have to connect
// anew. Within a day the agents do; else the log says so, and they do when the clock is right.
func (c *Cluster) restartBeside(h *host, off time.Duration) {
	c.t.Helper()
	lead := c.waitLeader("dc1", patience(10*time.Second))
	other := c.servers[0]
	for _, s := range c.servers {
		if s != h && s != lead {
			other = s
		}
	}
	began := time.Now()
	other.Restart()
	if off.Abs() > 24*time.Hour && h.server {
		c.eventually(patience(30*time.Second), func() error {
			if other.logged("clocks of this host and of a peer differ", "peer="+h.addr()) == nil {
				return nil
			}
			return h.logged("clocks of this host and of a peer differ")
		})
		testutil.NoError(c.t, h.JumpClock(0))
	}
	c.eventually(patience(30*time.Second), func() error { return other.seesAll(c) })
	c.waitVoters(3, patience(30*time.Second))
	c.write(other, "restarted")
	c.t.Logf("the clock of %s is off by %v: nothing stops, and a restarted server is back after %v", h.name, off, time.Since(began).Round(time.Millisecond))
	testutil.NoError(c.t, h.JumpClock(0))
}
