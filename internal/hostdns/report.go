package hostdns

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

// Status prints who owns what: the installation, resolv.conf, port 53, berth's upstreams, and
// what becomes of a question for the single-label name.
func (h *Host) Status(_ context.Context, name string) error {
	name = cmp.Or(name, "web")
	if !validDomain(name) {
		return fmt.Errorf("%w: %q is not a name", ErrUsage, name)
	}
	f, err := h.look()
	if err != nil {
		return err
	}
	r, err := h.loadRecord()
	if err != nil && !errors.Is(err, ErrNotInstalled) {
		return err
	}
	h.statusRecord(r)
	h.statusResolvConf(f)
	list := h.sockets(h.port())
	h.statusSockets(list)
	h.statusUpstreams(f, list)
	fmt.Fprintf(h.Out, "A question for %s:\n", name)
	fmt.Fprintf(h.Out, "  glibc:  %s\n", f.stub.glibc(name))
	fmt.Fprintf(h.Out, "  musl:   %s\n", f.stub.musl(name))
	fmt.Fprintf(h.Out, "  docker: %s\n", h.inDocker(f, name))
	return nil
}

func (h *Host) statusRecord(r *Record) {
	if r == nil {
		fmt.Fprintln(h.Out, "Installed: no")
		return
	}
	fmt.Fprintf(h.Out, "Installed: mode %s, berth at %s, since %s\n", r.Mode, r.Address, r.Installed.Local().Format(time.DateTime))
	switch {
	case r.Phase == phaseApplying:
		fmt.Fprintln(h.Out, "  the installation did not finish: run `berth host uninstall`")
	case r.Phase == phaseWaiting && h.now().After(r.ConfirmBy):
		fmt.Fprintln(h.Out, "  it was not confirmed in time and not undone: run `berth host uninstall`")
	case r.Phase == phaseWaiting:
		fmt.Fprintf(h.Out, "  waits for `berth host confirm` until %s\n", r.ConfirmBy.Local().Format(time.DateTime))
	}
	for _, d := range h.differences(r) {
		fmt.Fprintf(h.Out, "  %s\n", d)
	}
}

func (h *Host) statusResolvConf(f *facts) {
	fmt.Fprintf(h.Out, "%s: %s\n", resolvConf, f.why)
	for _, ip := range f.stub.servers {
		fmt.Fprintf(h.Out, "  nameserver %s\n", ip)
	}
	for _, l := range []struct {
		word string
		list []string
	}{{"search", f.stub.search}, {"options", f.stub.options}} {
		if len(l.list) > 0 {
			fmt.Fprintf(h.Out, "  %s %s\n", l.word, strings.Join(l.list, " "))
		}
	}
}

func (h *Host) statusSockets(list []Socket) {
	fmt.Fprintf(h.Out, "Port %d:\n", h.port())
	if len(list) == 0 {
		fmt.Fprintln(h.Out, "  nobody listens")
	}
	for _, s := range list {
		fmt.Fprintf(h.Out, "  %s %-21s %s\n", s.Proto, s.Addr, s.owner())
	}
}

// upstreamsNow is the file from which berth reads its upstreams unless it is configured
// otherwise, what it names, and which of these are berth itself.
func (h *Host) upstreamsNow(f *facts, list []Socket) (file string, servers, self []netip.Addr) {
	file, data := resolvConf, f.data
	if _, err := os.Lstat(h.path(upstreamsFile)); err == nil {
		file = upstreamsFile
		data, _ = os.ReadFile(h.follow(upstreamsFile))
	}
	for _, ip := range parseStub(data).servers {
		switch {
		case slices.Contains(servers, ip) || slices.Contains(self, ip):
		case h.berthAt(list, ip):
			self = append(self, ip)
		default:
			servers = append(servers, ip)
		}
	}
	return file, servers, self
}

// berthAt tells whether berth answers at ip.
func (h *Host) berthAt(list []Socket, ip netip.Addr) bool {
	return slices.ContainsFunc(list, func(s Socket) bool {
		return s.covers(netip.AddrPortFrom(ip, h.port())) && slices.ContainsFunc(s.Owners, h.isBerth)
	})
}

func (h *Host) statusUpstreams(f *facts, list []Socket) {
	file, servers, self := h.upstreamsNow(f, list)
	fmt.Fprintf(h.Out, "Upstreams of berth, from %s unless recursors are configured:\n", file)
	for _, ip := range servers {
		fmt.Fprintf(h.Out, "  %s\n", ip)
	}
	for _, ip := range self {
		fmt.Fprintf(h.Out, "  %s left out: it is berth\n", ip)
	}
	if len(servers) == 0 {
		fmt.Fprintln(h.Out, "  none: names outside the catalog get SERVFAIL")
	}
}

// glibc says in which order glibc asks, for a name without dots.
func (s stub) glibc(name string) string {
	names := []string{}
	for _, d := range s.search {
		names = append(names, name+"."+d)
	}
	if v, ok := s.option("ndots"); ok && v == "0" {
		names = append([]string{name}, names...)
	} else {
		names = append(names, name)
	}
	return "asks for " + strings.Join(names, ", then ") + ", at " + s.inTurn()
}

func (s stub) inTurn() string {
	if len(s.servers) == 0 {
		return "127.0.0.1, since no nameserver is named"
	}
	var list []string
	for _, ip := range s.servers {
		list = append(list, ip.String())
	}
	if _, ok := s.option("rotate"); ok && len(list) > 1 {
		return "one of " + strings.Join(list, ", ") + " in turn (rotate)"
	}
	return strings.Join(list[:min(len(list), maxServers)], ", and when that is dead ")
}

// musl says the same for musl, which asks all servers at once.
func (s stub) musl(name string) string {
	names := []string{}
	if v, ok := s.option("ndots"); !ok || v != "0" {
		for _, d := range s.search {
			names = append(names, name+"."+d)
		}
	}
	names = append(names, name)
	text := "asks for " + strings.Join(names, ", then ")
	if len(s.servers) > 1 {
		return text + ", at all " + fmt.Sprint(min(len(s.servers), maxServers)) + " servers at once: the first answer wins, even \"no such name\""
	}
	return text + ", at " + s.inTurn()
}

// dockerServers is what daemon.json tells containers to ask.
func (h *Host) dockerServers() (servers, options []string, err error) {
	data, err := os.ReadFile(h.path(daemonJSON))
	if err != nil {
		return nil, nil, nil // dockerd starts without one
	}
	var d struct {
		DNS     []string `json:"dns"`
		Options []string `json:"dns-opts"`
	}
	err = json.Unmarshal(data, &d)
	return d.DNS, d.Options, err
}

// inDocker says what containers do.
func (h *Host) inDocker(f *facts, name string) string {
	servers, _, err := h.dockerServers()
	if err != nil {
		return fmt.Sprintf("%s: %v", daemonJSON, err)
	}
	if len(servers) > 0 {
		return fmt.Sprintf("user networks: a container called %s, then %s alone, at %s; default bridge: at %s",
			name, name, strings.Join(servers, ", "), strings.Join(servers, ", "))
	}
	var reachable []string
	stub := f.stub
	if slices.Contains(stub.servers, stubListener) { // dockerd looks behind it
		data, _ := os.ReadFile(h.path(resolvedReal))
		stub = parseStub(data)
	}
	for _, ip := range stub.servers {
		if !ip.IsLoopback() {
			reachable = append(reachable, ip.String())
		}
	}
	bridge := "at " + strings.Join(reachable, ", ") + ", which is not berth"
	if len(reachable) == 0 {
		bridge = "no server of this host can be reached, so 8.8.8.8 or none (by dockerd's version)"
	}
	return fmt.Sprintf("user networks: a container called %s, then %s alone, at the servers of this host; default bridge: %s", name, name, bridge)
}
