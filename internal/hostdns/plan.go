package hostdns

import (
	"os"
	"path/filepath"
	"strings"
)

// plan is what will be done.
type plan struct {
	mode      string
	changes   []Change
	upstreams Entry    // what goes to upstreamsFile; Kind "": nothing
	notes     []string // what the user has to do or know
}

// plan works out the changes of the mode; it changes nothing.
func (h *Host) plan(o Options, f *facts) (*plan, error) {
	p := &plan{mode: o.Mode}
	var err error
	switch o.Mode {
	case ResolvConfFile:
		err = h.planFile(p, o, f)
	case Resolved:
		err = h.planResolved(p, o)
	case NetworkManager:
		err = h.planManager(p, o, f)
	case ResolvConf:
		err = h.planResolvconf(p, o, f)
	}
	switch {
	case err != nil:
	case o.Docker:
		err = h.planDocker(p, o, f)
	default:
		h.warnDocker(p, o, f)
	}
	return p, err
}

// warnDocker says what a resolv.conf with a loopback address does to containers.
func (h *Host) warnDocker(p *plan, o Options, f *facts) {
	if o.Mode == Resolved || !o.Address.Addr().IsLoopback() || !f.docker0.IsValid() && !h.exists("/etc/docker") {
		return
	}
	if servers, _, err := h.dockerServers(); err == nil && len(servers) > 0 {
		return
	}
	p.notes = append(p.notes, "containers on the default bridge, and docker build, leave out "+o.Address.Addr().String()+
		" and then have no server of this host: add --docker")
}

// file adds the change of a file, unless it reads like that already.
func (h *Host) file(p *plan, name string, data []byte, perm Entry) error {
	before, err := readEntry(h.path(name))
	if err != nil {
		return err
	}
	after := Entry{Kind: plain, Data: data, Mode: perm.Mode, UID: h.uid()}
	if before.Kind == plain {
		after.Mode, after.UID, after.GID = before.Mode, before.UID, before.GID
	}
	if after.same(before) {
		return nil
	}
	p.changes = append(p.changes, Change{Path: name, Before: before, After: after, SHA256: hash(data)})
	return nil
}

func (p *plan) run(do, undo []string, stdin string) {
	p.changes = append(p.changes, Change{Do: do, Undo: undo, Stdin: stdin})
}

// saved makes the upstreams file: a link to a file that somebody keeps up to date, or a copy.
func (h *Host) saved(o Options, f *facts, live string) Entry {
	if live != "" && h.exists(live) {
		return Entry{Kind: symlink, Target: live}
	}
	return Entry{Kind: plain, Mode: modeFile, Data: f.stub.upstreams(o.Address.Addr()), UID: h.uid()}
}

// planFile writes resolv.conf itself.
func (h *Host) planFile(p *plan, o Options, f *facts) error {
	live := ""
	for _, ip := range f.stub.servers {
		switch { // behind a local stub the real servers stand elsewhere
		case ip == stubListener:
			live = resolvedReal
		case isLocalStub(ip) && h.exists(managerReal):
			live = managerReal
		}
	}
	p.upstreams = h.saved(o, f, live)
	if err := h.file(p, resolvConf, f.stub.render(o), Entry{Mode: modeFile}); err != nil {
		return err
	}
	const hooks = "/etc/dhcp/dhclient-enter-hooks.d"
	if live == "" && isDir(h.path(hooks)) {
		return h.file(p, hooks+"/zz-berth", []byte(dhclientHook), Entry{Mode: modeFile})
	}
	return nil
}

// dhclientHook keeps dhclient from writing resolv.conf and brings what it learns to berth.
const dhclientHook = `# Written by ` + "`berth host install`" + `: resolv.conf asks berth, DHCP tells berth whom to ask.
make_resolv_conf() {
	[ -n "$new_domain_name_servers$new_dhcp6_name_servers" ] || return 0
	berth_tmp="` + upstreamsFile + `.$$"
	{
		echo "# The resolvers that berth forwards to; from dhclient on $interface."
		for berth_server in $new_domain_name_servers $new_dhcp6_name_servers; do
			echo "nameserver $berth_server"
		done
	} >"$berth_tmp" && mv -f "$berth_tmp" ` + upstreamsFile + `
}
`

// planResolved makes systemd-resolved ask berth for its domain and for what no link claims.
func (h *Host) planResolved(p *plan, o Options) error {
	p.upstreams = Entry{Kind: symlink, Target: resolvedReal}
	if data, err := os.ReadFile(h.path(resolvedReal)); h.globalServers() && err == nil {
		// These are replaced below, and would be missing in resolved's list from then on.
		p.upstreams = Entry{Kind: plain, Data: parseStub(data).upstreams(o.Address.Addr()), Mode: modeFile, UID: h.uid()}
	}
	domains := "~" + o.Domain
	if o.Search != None {
		domains = "service." + o.Domain + " " + domains
	}
	if o.Link {
		p.link(o, strings.Fields(domains))
		return nil
	}
	server := o.Address.Addr().String()
	if o.Address.Port() != 53 {
		server = o.Address.String()
	}
	text := "# Written by `berth host install`.\n[Resolve]\nDNS=\nDNS=" + server + "\nDomains=" + domains + "\nDNSSEC=no\n"
	if err := h.file(p, "/etc/systemd/resolved.conf.d/berth.conf", []byte(text), Entry{Mode: modeFile}); err != nil {
		return err
	}
	restart := []string{"systemctl", "restart", "systemd-resolved"}
	p.run(restart, restart, "")
	if o.Search == Last {
		p.notes = append(p.notes, "systemd-resolved puts global search domains behind those of links by itself; --search last needs nothing else")
	}
	if o.Fallback {
		p.notes = append(p.notes, "systemd-resolved keeps asking the servers of its links; --fallback adds nothing")
	}
	return nil
}

// globalServers tells whether resolved has servers that belong to no link.
func (h *Host) globalServers() bool {
	files := []string{h.path("/etc/systemd/resolved.conf")}
	for _, dir := range []string{"/usr/lib", "/run", "/etc"} {
		more, _ := filepath.Glob(h.path(dir + "/systemd/resolved.conf.d/*.conf"))
		files = append(files, more...)
	}
	for _, file := range files {
		data, _ := os.ReadFile(file)
		for line := range strings.Lines(string(data)) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "DNS="); ok && v != "" && filepath.Base(file) != "berth.conf" {
				return true
			}
		}
	}
	return false
}

// link gives resolved an interface of berth's own: it takes only berth's domain there.
func (p *plan) link(o Options, domains []string) {
	const dev = "berth0"
	del := []string{"ip", "link", "del", dev}
	p.run([]string{"ip", "link", "add", dev, "type", "dummy"}, del, "")
	p.run([]string{"ip", "addr", "add", linkAddr.String() + "/32", "dev", dev, "scope", "global"}, nil, "")
	p.run([]string{"ip", "link", "set", dev, "up"}, nil, "")
	p.run([]string{"resolvectl", "dns", dev, o.Address.Addr().String()}, nil, "")
	p.run(append([]string{"resolvectl", "domain", dev}, domains...), nil, "")
	p.run([]string{"resolvectl", "default-route", dev, "false"}, nil, "")
	p.run([]string{"resolvectl", "dnssec", dev, "no"}, nil, "")
	p.notes = append(p.notes, "the link "+dev+" is gone after a reboot, and name resolution is then as before; run this again at boot, or leave out --link",
		"resolved searches domains in the order of its links: those of links made earlier come first",
		"berth may listen on "+linkAddr.String()+" from now on (addresses.dns): it is the same address for the host and all containers")
}

// planManager takes resolv.conf away from NetworkManager and writes it.
func (h *Host) planManager(p *plan, o Options, f *facts) error {
	text := "# Written by `berth host install`.\n[main]\nrc-manager=unmanaged\n"
	if err := h.file(p, "/etc/NetworkManager/conf.d/zz-berth.conf", []byte(text), Entry{Mode: modeFile}); err != nil {
		return err
	}
	reload := []string{"systemctl", "reload", "NetworkManager"}
	p.run(reload, reload, "")
	p.upstreams = h.saved(o, f, managerReal)
	return h.file(p, resolvConf, f.stub.render(o), Entry{Mode: modeFile})
}
