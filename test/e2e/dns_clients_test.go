//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/internal/testutil"
)

// patience is what a look-up may take on a busy machine; a stub resolver that has to ask a second
// time takes 5 s.
const patience = 2500 * time.Millisecond

// lookups is what both C libraries must find. The second file of options is what Docker writes
// into containers of its own networks.
var lookups = []struct {
	name, resolv string
	want         string
}{
	{"web.service.consul", "", "10.3.0.1 10.3.0.2"},
	{"web", "", "10.3.0.1 10.3.0.2"},
	{"web", "options ndots:0\n", "10.3.0.1 10.3.0.2"},
	{"web", "search service.consul\n", "10.3.0.1 10.3.0.2"},
	{"web.service", "search consul\noptions ndots:2\n", "10.3.0.1 10.3.0.2"},
	{"www.example.test", "", "192.0.2.1 2001:db8::1"},
	{"four.example.test", "options edns0\n", "192.0.2.4"}, // has no AAAA
	{"nosuch.service.consul", "", ""},
	{"nosuch", "search service.consul\n", ""},
	{"nosuch.example.test", "", ""},
}

// TestDNS_Glibc looks names up through getaddrinfo of this machine's glibc.
func TestDNS_Glibc(t *testing.T) {
	s := startDNSSite(t)
	for _, l := range lookups {
		got, took := s.asClient(l.resolv, "getent", "ahosts", l.name)
		if strings.Join(got, " ") != l.want || took > patience {
			t.Errorf("%s with %q: %v in %v, want %q", l.name, l.resolv, got, took, l.want)
		}
	}
	// 60 addresses do not fit into 512 bytes: glibc comes back over TCP.
	if got, took := s.asClient("", "getent", "ahosts", "big.service.consul"); len(got) != 60 || took > patience {
		t.Errorf("big: %d addresses in %v", len(got), took)
	}
	if got, _ := s.asClient("", "getent", "hosts", "10.3.0.1"); len(got) != 1 {
		t.Errorf("no name for an address of web: %v", got)
	}
}

// muslProgram prints the addresses of a name; no output, and 1, when there are none.
const muslProgram = `
#include <netdb.h>
#include <stdio.h>
#include <arpa/inet.h>
int main(int argc, char **argv) {
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *a;
	char text[64];
	if (argc < 2 || getaddrinfo(argv[1], 0, &hints, &list)) return 1;
	for (a = list; a; a = a->ai_next) {
		void *ip = a->ai_family == AF_INET ? (void *)&((struct sockaddr_in *)a->ai_addr)->sin_addr
		                                   : (void *)&((struct sockaddr_in6 *)a->ai_addr)->sin6_addr;
		puts(inet_ntop(a->ai_family, ip, text, sizeof text));
	}
	return 0;
}
`

// TestDNS_Musl looks names up through musl 1.2.3, as Alpine did before 3.18: it has no TCP.
func TestDNS_Musl(t *testing.T) {
	s := startDNSSite(t)
	libs, err := filepath.Glob(filepath.Join(s.root, "usr/lib/*-linux-musl"))
	testutil.NoError(t, err)
	headers, err := filepath.Glob(filepath.Join(s.root, "usr/include/*-linux-musl"))
	testutil.NoError(t, err)
	if len(libs) != 1 || len(headers) != 1 {
		t.Fatalf("no musl in %s", s.root)
	}
	source, bin := writeFile(t, filepath.Join(s.dir, "lookup.c"), muslProgram), filepath.Join(s.dir, "lookup")
	out, err := exec.Command("gcc", "-static", "-nostdinc", "-isystem", headers[0], "-nostdlib", "-o", bin,
		filepath.Join(libs[0], "crt1.o"), source, filepath.Join(libs[0], "libc.a"), "-lgcc").CombinedOutput()
	if err != nil {
		t.Fatalf("build with musl: %v\n%s", err, out)
	}
	for _, l := range lookups {
		got, took := s.asClient(l.resolv, bin, l.name)
		if strings.Join(got, " ") != l.want || took > patience {
			t.Errorf("%s with %q: %v in %v, want %q", l.name, l.resolv, got, took, l.want)
		}
	}
	if got, took := s.asClient("", bin, "big.service.consul"); len(got) < 20 || took > patience {
		t.Errorf("big: %d addresses in %v", len(got), took)
	}
}

// TestDNS_EDNSCompliance is the list of ISC's EDNS compliance tester, by dig, with kdig as a
// second pair of eyes.
func TestDNS_EDNSCompliance(t *testing.T) {
	s := startDNSSite(t)
	tool := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(s.root, "usr/bin", name), append([]string{"@" + s.addr, "+norec", "+time=3"}, args...)...)
		cmd.Env = s.env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	for _, c := range []struct {
		args       string
		want, deny []string
	}{
		{"+noedns", []string{"NOERROR", "hostmaster.consul."}, []string{"EDNS:"}},
		{"+edns=0", []string{"NOERROR", "hostmaster.consul.", "EDNS: version: 0, flags:; udp: 1232"}, nil},
		{"+edns=100 +noednsneg", []string{"BADVERS", "EDNS: version: 0,"}, []string{"hostmaster.consul."}},
		{"+edns=0 +ednsopt=100", []string{"NOERROR", "hostmaster.consul.", "EDNS: version: 0,"}, []string{"OPT=100"}},
		{"+edns=0 +ednsflags=0x80", []string{"NOERROR", "hostmaster.consul.", "EDNS: version: 0, flags:;"}, []string{"MBZ"}},
		{"+dnssec", []string{"NOERROR", "hostmaster.consul.", "flags: do;"}, nil},
		{"+dnssec +bufsize=512 +ignore", []string{"NOERROR", "flags: do;"}, nil},
		{"+edns=100 +noednsneg +ednsopt=100", []string{"BADVERS", "EDNS: version: 0,"}, []string{"hostmaster.consul.", "OPT=100"}},
		{"+edns=0 +cookie=0011223344556677", []string{"NOERROR", "hostmaster.consul."}, []string{"COOKIE: "}},
		{"+edns=0 +subnet=10.1.2.0/24", []string{"NOERROR", "CLIENT-SUBNET: 10.1.2.0/24/0"}, nil},
		{"+opcode=2", []string{"NOTIMP"}, nil},
	} {
		for _, transport := range []string{"+notcp", "+tcp"} {
			args := append(strings.Fields(c.args), transport, "+nocookie", "consul", "SOA")
			if strings.Contains(c.args, "cookie") {
				args = append(strings.Fields(c.args), transport, "consul", "SOA")
			}
			out := tool("dig", args...)
			for _, w := range append(c.want, "flags: qr") {
				if !strings.Contains(out, w) {
					t.Errorf("dig %v: no %q in\n%s", args, w, out)
				}
			}
			for _, d := range c.deny {
				if strings.Contains(out, d) {
					t.Errorf("dig %v: %q in\n%s", args, d, out)
				}
			}
		}
	}
	for _, args := range [][]string{{"+edns"}, {"+tcp", "+keepopen", "+ednsopt=11"}, {"+dnssec", "+bufsize=4096"}, {"+padding=128"}} {
		out := tool("kdig", append(args, "_big._tcp.service.consul", "SRV", "-q", "web.service.consul", "-t", "A")...)
		if strings.Contains(out, "WARNING") || strings.Count(out, "status: NOERROR") != 2 {
			t.Errorf("kdig %v:\n%s", args, out)
		}
	}
}
