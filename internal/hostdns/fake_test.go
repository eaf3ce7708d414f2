package hostdns

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/testutil"

	"golang.org/x/net/dns/dnsmessage"
)

// fakeDNS is a listener as berth's: names it knows, NXDOMAIN for the rest, or one rcode for all.
type fakeDNS struct {
	addr netip.AddrPort

	mu    sync.Mutex // guards names and fail
	names map[string]string
	fail  dnsmessage.RCode
}

func newFakeDNS(t *testing.T, names map[string]string) *fakeDNS {
	t.Helper()
	addr := netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", testutil.FreePort(t)))
	f := &fakeDNS{addr: addr, names: names}
	u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	testutil.NoError(t, err)
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
	testutil.NoError(t, err)
	var done sync.WaitGroup
	done.Go(func() { f.serveUDP(u) })
	done.Go(func() { f.serveTCP(l) })
	t.Cleanup(func() { u.Close(); l.Close(); done.Wait() })
	return f
}

// set changes what it answers.
func (f *fakeDNS) set(change func(f *fakeDNS)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeDNS) serveUDP(u *net.UDPConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := u.ReadFromUDP(buf)
		if err != nil {
			return
		}
		_, _ = u.WriteToUDP(f.reply(buf[:n]), from)
	}
}

func (f *fakeDNS) serveTCP(l *net.TCPListener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err == nil {
			q := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(c, q); err == nil {
				r := f.reply(q)
				_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...))
			}
		}
		c.Close()
	}
}

func (f *fakeDNS) reply(packet []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(packet) != nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m.Response, m.RCode = true, f.fail
	ip, ok := f.names[strings.TrimSuffix(m.Questions[0].Name.String(), ".")]
	switch {
	case f.fail != 0:
	case ok:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.AResource{A: netip.MustParseAddr(ip).As4()},
		}}
	default:
		m.RCode = dnsmessage.RCodeNameError
	}
	out, _ := m.Pack()
	return out
}

// fakeRunner records what is run; answers is by the command line's start.
type fakeRunner struct {
	missing []string

	mu    sync.Mutex // guards what follows
	ran   []string
	reply map[string]func(argv []string) (string, error)
}

func (r *fakeRunner) Has(name string) bool { return !slices.Contains(r.missing, name) }

func (r *fakeRunner) Run(_ context.Context, stdin string, argv ...string) (string, error) {
	line := strings.Join(argv, " ")
	r.mu.Lock()
	defer r.mu.Unlock()
	if stdin != "" {
		line += " <<< " + strings.ReplaceAll(stdin, "\n", "|")
	}
	if argv[0] != "getent" {
		r.ran = append(r.ran, line)
	}
	for start, f := range r.reply {
		if strings.HasPrefix(line, start) {
			return f(argv)
		}
	}
	return "", nil
}

// bench is a host below a temporary folder.
type bench struct {
	*Host
	t      *testing.T
	dns    *fakeDNS
	runner *fakeRunner
	out    *bytes.Buffer
}

// corporate is the resolv.conf of the benches.
const corporate = "# corporate\nsearch corp.example\nnameserver 10.9.9.9\noptions edns0 rotate\n"

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, out: new(bytes.Buffer)}
	b.dns = newFakeDNS(t, map[string]string{
		"consul.service.consul": "10.0.0.1", "web.service.consul": "10.0.0.2", "web": "10.0.0.2", "example.com": "192.0.2.1",
	})
	b.runner = &fakeRunner{missing: []string{"dockerd"}, reply: map[string]func([]string) (string, error){}}
	b.runner.reply["getent ahosts"] = b.getent
	b.Host = &Host{
		Root: t.TempDir(), Run: b.runner, Out: b.out, Port: b.dns.addr.Port(), UID: func() int { return 0 },
		Addrs:  func() []Address { return []Address{{"lo", netip.MustParseAddr("127.0.0.1")}} },
		Settle: 300 * time.Millisecond,
		Now:    func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
	}
	b.write(resolvConf, corporate)
	return b
}

// getent resolves as libc would: by the search list of the bench's resolv.conf, at its first
// nameserver, which is the fake one or knows only example.com.
func (b *bench) getent(argv []string) (string, error) {
	data, _ := os.ReadFile(b.follow(resolvConf))
	s := parseStub(data)
	name := argv[2]
	names := []string{strings.TrimSuffix(name, ".")}
	if !strings.Contains(name, ".") {
		names = nil
		for _, d := range s.search {
			names = append(names, name+"."+d)
		}
		names = append(names, name)
	}
	if len(s.servers) == 0 {
		return "", errors.New("exit status 2")
	}
	for _, n := range names {
		if s.servers[0] == b.dns.addr.Addr() {
			if a, err := ask(context.Background(), "udp", b.dns.addr, n); err == nil && a.found() {
				return a.addrs[0].String() + " STREAM " + n + "\n", nil
			}
		} else if n == "example.com" {
			return "192.0.2.1 STREAM example.com\n192.0.2.1 DGRAM\n", nil
		}
	}
	return "", errors.New("exit status 2")
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	testutil.NoError(b.t, os.MkdirAll(filepath.Dir(b.path(name)), 0o755))
	testutil.NoError(b.t, os.WriteFile(b.path(name), []byte(text), 0o644))
}

func (b *bench) link(name, target string) {
	b.t.Helper()
	testutil.NoError(b.t, os.MkdirAll(filepath.Dir(b.path(name)), 0o755))
	_ = os.Remove(b.path(name))
	testutil.NoError(b.t, os.Symlink(target, b.path(name)))
}

func (b *bench) read(name string) string {
	b.t.Helper()
	data, err := os.ReadFile(b.path(name))
	testutil.NoError(b.t, err)
	return string(data)
}

func (b *bench) gone(name string) {
	b.t.Helper()
	if _, err := os.Lstat(b.path(name)); err == nil {
		b.t.Fatalf("%s is there", name)
	}
}

// install installs with --yes.
func (b *bench) install(o Options) error {
	b.t.Helper()
	o.Yes = true
	return b.Install(b.t.Context(), o)
}

// said is what was printed since the last call.
func (b *bench) said() string {
	text := b.out.String()
	b.out.Reset()
	return text
}
