package hostdns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// finding is one thing that doctor looked at.
type finding struct {
	level string // ok, warn, FAIL
	text  string
	fix   string
}

const (
	fine = "ok  "
	warn = "warn"
	bad  = "FAIL"
)

// doctor collects findings.
type doctor struct {
	h    *Host
	o    Options
	f    *facts
	r    *Record // nil: not installed
	list []Socket
	out  []finding
}

func (d *doctor) add(level, fix, format string, args ...any) {
	d.out = append(d.out, finding{level, fmt.Sprintf(format, args...), fix})
}

// Doctor looks for what keeps names from resolving and says how to mend it. Its error says
// how many findings are bad.
func (h *Host) Doctor(ctx context.Context, o Options) error {
	if err := o.fill(h.port()); err != nil {
		return err
	}
	d := &doctor{h: h, o: o}
	var err error
	if d.f, err = h.look(); err != nil {
		return err
	}
	if d.r, err = h.loadRecord(); err != nil && !errors.Is(err, ErrNotInstalled) {
		d.add(bad, "see the message", "%v", err)
	}
	if d.r != nil {
		if ap, err := netip.ParseAddrPort(d.r.Address); err == nil {
			d.o.Address, d.o.Domain = ap, d.r.Domain
		}
	}
	d.list = h.sockets(d.o.Address.Port())
	d.record()
	d.listener(ctx)
	d.resolvConf()
	d.nsswitch()
	d.upstreams()
	d.docker()
	n := 0
	for _, f := range d.out {
		fmt.Fprintf(h.Out, "[%s] %s\n", f.level, f.text)
		if f.fix != "" && f.level != fine {
			fmt.Fprintf(h.Out, "       fix: %s\n", f.fix)
		}
		if f.level == bad {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d findings are bad", n, len(d.out))
	}
	return nil
}

func (d *doctor) record() {
	r := d.r
	if r == nil {
		d.add(warn, "berth host install", "berth is not installed as this host's resolver")
		return
	}
	const again = "berth host uninstall, then berth host install"
	switch {
	case r.Phase == phaseApplying:
		d.add(bad, "berth host uninstall", "an installation of mode %s did not finish", r.Mode)
	case r.Phase == phaseWaiting && d.h.now().After(r.ConfirmBy):
		d.add(bad, "berth host uninstall", "an installation was not confirmed in time and not undone: its process was killed")
	default:
		d.add(fine, "", "installed in mode %s, berth at %s", r.Mode, r.Address)
	}
	for _, text := range d.h.differences(r) {
		fix := again
		if strings.HasPrefix(text, resolvConf) && d.f.owner != r.Mode {
			fix += " --mode " + d.f.owner
		}
		d.add(bad, fix, "%s: %s", text, d.f.why)
	}
}

func (d *doctor) listener(ctx context.Context) {
	at := d.o.Address
	if s, ok := d.h.foreign(d.list, at); ok {
		d.add(bad, "stop it, or give berth another address (addresses.dns, --address)", "%s is held by %s, not by berth", at, s.owner())
		return
	}
	if err := d.h.checkListener(ctx, at, d.o); err != nil {
		d.add(bad, "start the agent: berth agent", "%v", err)
		return
	}
	for _, p := range selfTest(ctx, at, d.o, true) {
		level, fix := fine, ""
		if !p.ok {
			level, fix = bad, "see the agent's log and `berth resolve`"
			if !p.must {
				level = warn
			}
		}
		d.add(level, fix, "berth at %s, %s: %s", at, p.name, p.detail)
	}
}

func (d *doctor) resolvConf() {
	s, at := d.f.stub, d.o.Address.Addr()
	viaResolved := len(s.servers) > 0 && s.servers[0] == stubListener
	i := slices.Index(s.servers, at)
	switch {
	case viaResolved:
		d.add(fine, "", "%s asks systemd-resolved", resolvConf)
	case i > 0:
		d.add(bad, "put nameserver "+at.String()+" first, or use berth host install", "glibc asks %s before berth", s.servers[0])
	case i < 0 && d.r != nil && d.r.Mode != Docker:
		d.add(bad, "berth host uninstall, then berth host install", "%s does not name berth (%s)", resolvConf, at)
	case i == 0 && len(s.servers) > 1:
		d.add(warn, "install without --fallback where programs use musl", "musl asks all %d servers at once and believes the first answer", len(s.servers))
	case i == 0:
		d.add(fine, "", "%s asks berth and nobody else", resolvConf)
	}
	if _, ok := s.option("rotate"); ok && len(s.servers) > 1 {
		d.add(bad, "take rotate out of the options", "option rotate sends questions past berth")
	}
	if own := "service." + d.o.Domain; i >= 0 && !slices.Contains(s.search, own) {
		d.add(warn, "install with --search first, or rely on short names of berth itself", "search has no %s: programs that use a search list find services only by berth's short names", own)
	}
}

func (d *doctor) nsswitch() {
	data, err := os.ReadFile(d.h.path("/etc/nsswitch.conf"))
	if err != nil {
		return // musl has none
	}
	for line := range strings.Lines(string(data)) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "hosts:")
		if !ok {
			continue
		}
		f := strings.Fields(text)
		resolve, dns := slices.Index(f, "resolve"), slices.Index(f, "dns")
		switch {
		case resolve < 0 && dns < 0:
			d.add(bad, "add dns to the line", "hosts: in /etc/nsswitch.conf has no dns: programs do not ask any server")
		case resolve >= 0 && (dns < 0 || resolve < dns) && d.r != nil && d.r.Mode == ResolvConfFile:
			d.add(bad, "berth host uninstall, then berth host install --mode resolved", "/etc/nsswitch.conf asks systemd-resolved before %s is looked at", resolvConf)
		default:
			d.add(fine, "", "/etc/nsswitch.conf: hosts: %s", strings.Join(f, " "))
		}
	}
}

func (d *doctor) upstreams() {
	file, servers, self := d.h.upstreamsNow(d.f, d.list)
	switch {
	case len(servers) == 0 && len(self) > 0:
		d.add(bad, "name upstreams with recursors, or put them into "+file, "berth's upstreams in %s are only berth itself", file)
	case len(servers) == 0:
		d.add(warn, "name upstreams with recursors", "%s names no upstream", file)
	case slices.Contains(servers, stubListener) && d.r != nil && d.r.Mode == Resolved:
		d.add(bad, "let berth read "+resolvedReal+" (dns_config.resolv_conf)", "berth asks 127.0.0.53, and systemd-resolved asks berth: a loop")
	default:
		d.add(fine, "", "upstreams from %s: %s", file, joinAddrs(servers))
	}
}

func joinAddrs(list []netip.Addr) string {
	var out []string
	for _, ip := range list {
		out = append(out, ip.String())
	}
	return strings.Join(out, " ")
}

func (d *doctor) docker() {
	if !d.h.exists("/etc/docker") && !d.f.docker0.IsValid() {
		return
	}
	servers, options, err := d.h.dockerServers()
	if err != nil {
		d.add(bad, "repair the file, dockerd will not start with it", "%s: %v", daemonJSON, err)
		return
	}
	berth := func(text string) bool {
		ip, err := netip.ParseAddr(text)
		return err == nil && d.h.berthAt(d.list, ip)
	}
	switch n := len(servers); {
	case n == 0:
		d.add(warn, "berth host install --docker", "containers are not told to ask berth")
	case !slices.ContainsFunc(servers, berth):
		d.add(warn, "let berth listen there (addresses.dns)", "containers ask %s, where berth does not answer", strings.Join(servers, ", "))
	case n > 1:
		d.add(warn, "leave only berth's address in dns of "+daemonJSON, "containers ask %s: musl asks all at once, and a \"no such name\" may win", strings.Join(servers, ", "))
	default:
		d.add(fine, "", "containers ask berth at %s", servers[0])
	}
	for _, o := range options {
		if strings.HasPrefix(o, "ndots:") && o != "ndots:0" {
			d.add(warn, "take it out of dns-opts", "dns-opts %s lets a catalog service shadow the compose service of the same name", o)
		}
	}
}
