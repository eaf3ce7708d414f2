package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth"
	"berth/internal/hostdns"
)

var hostSpecs = []spec{{
	name: "host install", synopsis: "Make berth this host's resolver",
	help: "Finds out who owns /etc/resolv.conf, asks the running agent a few questions, shows the\n" +
		"changes and makes them after you agreed. When names do not resolve afterwards, everything\n" +
		"is put back within seconds. docs/host-dns.md has what each mode writes.",
	make: func() action { return new(hostInstall) },
}, {
	name: "host uninstall", synopsis: "Put this host's resolver back as it was",
	help: "Works without the agent and without a network. Files that somebody else changed since stay\n" +
		"as they are; the difference is shown.",
	make: func() action { return new(hostUninstall) },
}, {
	name: "host status", args: "[NAME]", synopsis: "Show who answers names on this host",
	help: "Shows the installation, /etc/resolv.conf, the owner of each socket on port 53, berth's\n" +
		"upstreams, and what glibc, musl and containers do with NAME (web).",
	make: func() action { return new(hostStatus) },
}, {
	name: "host doctor", synopsis: "Find what keeps names from resolving, and how to mend it",
	help: "The status is 1 when something is bad.",
	make: func() action { return new(hostDoctor) },
}, {
	name: "host confirm", synopsis: "Keep an installation that waits for confirmation",
	help: "For `berth host install -confirm SECONDS`.",
	make: func() action { return new(hostConfirm) },
}, {
	name: "host lookup", args: "NAME", synopsis: "Resolve a name as this host does",
	help: "The test of `berth host install` where getent is missing.",
	make: func() action { return new(hostLookup) },
}}

// hostUsage is the part of all host commands: their wrong usage has a status of its own.
type hostUsage struct{ dryRun bool }

func (hostUsage) daemon() {}

func (c *hostUsage) dry(f *flagSet, usage string) { f.BoolVar(&c.dryRun, "dry-run", false, usage) }

// noArgs refuses arguments; ok is false when there were any.
func (hostUsage) noArgs(e *env, args []string) (ok bool) {
	if len(args) > 0 {
		e.errorf("Error: unexpected argument %q", args[0])
	}
	return len(args) == 0
}

// host is this machine, with ctx ending when the user or the terminal goes away.
func (e *env) host(cl *clientFlags) (h *hostdns.Host, ctx context.Context, stop func()) {
	ctx, stop = signal.NotifyContext(e.ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	h = &hostdns.Host{Out: e.stdout, Ask: func(q string) bool { return e.ask(ctx, q) }}
	if cl != nil {
		h.Reload = func(ctx context.Context) error {
			c, err := e.client(cl)
			if err != nil {
				return err
			}
			return c.put(ctx, "/v1/agent/reload", nil, nil, nil)
		}
	}
	return h, ctx, stop
}

// ask asks at the terminal; no input, or an interruption, is no.
func (e *env) ask(ctx context.Context, question string) bool {
	fmt.Fprintf(e.stdout, "%s [y/N] ", question)
	answer := make(chan string, 1)
	go func() { // ends with the process when nobody answers
		line, _ := bufio.NewReader(e.stdin).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case text := <-answer:
		return text == "y" || text == "yes"
	case <-ctx.Done():
		fmt.Fprintln(e.stdout)
		return false
	}
}

// hostExit is the status for the outcome of a host command.
func (e *env) hostExit(err error) int {
	if err == nil {
		return 0
	}
	e.errorf("Error: %v", err)
	if errors.Is(err, hostdns.ErrUsage) {
		return exitWrongUsage
	}
	return exitFailed
}

type hostInstall struct {
	hostUsage
	client          clientFlags
	o               hostdns.Options
	address, bridge string
	confirm         int
}

func (c *hostInstall) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.o.Mode, "mode", hostdns.Auto, strings.Join(hostdns.Modes[:], ", "))
	f.BoolVar(&c.o.Docker, "docker", false, "tell containers to ask berth, too (daemon.json)")
	f.StringVar(&c.address, "address", "", "where berth answers, ip or ip:port; empty is 127.0.0.1")
	f.StringVar(&c.bridge, "docker-address", "", "where containers reach berth; empty is the address of docker0")
	f.StringVar(&c.o.Search, "search", hostdns.First, "place of service.DOMAIN in the search list: first, last, none")
	f.BoolVar(&c.o.Fallback, "fallback", false, "keep the present servers behind berth")
	f.BoolVar(&c.o.Link, "link", false, "mode resolved: use a link of berth's own until the next boot, not a drop-in")
	f.StringVar(&c.o.Domain, "domain", "", "berth's domain; empty is what the agent says, else consul")
	f.StringVar(&c.o.TestName, "test-name", "", "a name outside the catalog that must resolve; empty is example.com")
	f.IntVar(&c.confirm, "confirm", 0, "undo after this many seconds unless `berth host confirm` is run")
	f.BoolVar(&c.o.Yes, "yes", false, "do not ask")
	c.dry(f, "show the plan only")
}

func (c *hostInstall) run(e *env, args []string) int {
	if !c.noArgs(e, args) {
		return exitWrongUsage
	}
	var err error
	if c.o.Address, err = hostAddr(c.address); err != nil {
		e.errorf("Error: -address %q: use ip or ip:port", c.address)
		return exitWrongUsage
	}
	if c.bridge != "" {
		if c.o.Bridge, err = netip.ParseAddr(c.bridge); err != nil {
			e.errorf("Error: -docker-address %q: use an ip", c.bridge)
			return exitWrongUsage
		}
	}
	c.askAgent(e)
	c.o.Confirm, c.o.DryRun = time.Duration(c.confirm)*time.Second, c.dryRun
	h, ctx, stop := e.host(&c.client)
	defer stop()
	return e.hostExit(h.Install(ctx, c.o))
}

// hostAddr reads an address with or without a port; "" is the zero address.
func hostAddr(text string) (netip.AddrPort, error) {
	if text == "" {
		return netip.AddrPort{}, nil
	}
	if ip, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return netip.AddrPortFrom(ip, 0), nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ip, err := netip.ParseAddr(host)
	return netip.AddrPortFrom(ip, uint16(n)), err
}

// askAgent asks the agent for its domain and for names to test with. Both have answers without
// an agent's API, too.
func (c *hostInstall) askAgent(e *env) {
	cl, err := e.client(&c.client)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(e.ctx, 2*time.Second)
	defer cancel()
	var self struct{ DebugConfig struct{ DNSDomain string } }
	if cl.get(ctx, "/v1/agent/self", nil, &self) != nil {
		return
	}
	if c.o.Domain == "" {
		c.o.Domain = self.DebugConfig.DNSDomain
	}
	var services map[string][]string
	if cl.get(ctx, "/v1/catalog/services", nil, &services) == nil {
		for _, name := range slices.Sorted(maps.Keys(services)) {
			if name != berth.ConsulServiceName {
				c.o.Services = append(c.o.Services, name)
			}
		}
	}
}

type hostUninstall struct {
	hostUsage
	client clientFlags
	force  bool
}

func (c *hostUninstall) flags(f *flagSet) {
	f.http(&c.client)
	f.BoolVar(&c.force, "force", false, "put back files that somebody else changed, too")
	f.Bool("yes", false, "accepted; uninstall does not ask")
	c.dry(f, "show what would be put back")
}

func (c *hostUninstall) run(e *env, args []string) int {
	if !c.noArgs(e, args) {
		return exitWrongUsage
	}
	h, ctx, stop := e.host(&c.client)
	defer stop()
	return e.hostExit(h.Uninstall(ctx, hostdns.Options{Force: c.force, DryRun: c.dryRun}))
}

type hostStatus struct{ hostUsage }

func (c *hostStatus) flags(f *flagSet) { c.dry(f, "accepted; status changes nothing") }

func (c *hostStatus) run(e *env, args []string) int {
	name := ""
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if !c.noArgs(e, args) {
		return exitWrongUsage
	}
	h, ctx, stop := e.host(nil)
	defer stop()
	return e.hostExit(h.Status(ctx, name))
}

type hostDoctor struct {
	hostUsage
	o       hostdns.Options
	address string
}

func (c *hostDoctor) flags(f *flagSet) {
	f.StringVar(&c.address, "address", "", "where berth answers; empty is as installed, else 127.0.0.1")
	f.StringVar(&c.o.Domain, "domain", "", "berth's domain; empty is as installed, else consul")
	f.StringVar(&c.o.TestName, "test-name", "", "a name outside the catalog that must resolve; empty is example.com")
	c.dry(f, "accepted; doctor changes nothing")
}

func (c *hostDoctor) run(e *env, args []string) int {
	if !c.noArgs(e, args) {
		return exitWrongUsage
	}
	var err error
	if c.o.Address, err = hostAddr(c.address); err != nil {
		e.errorf("Error: -address %q: use ip or ip:port", c.address)
		return exitWrongUsage
	}
	h, ctx, stop := e.host(nil)
	defer stop()
	return e.hostExit(h.Doctor(ctx, c.o))
}

type hostConfirm struct{ hostUsage }

func (c *hostConfirm) flags(f *flagSet) { c.dry(f, "say what would be confirmed") }

func (c *hostConfirm) run(e *env, args []string) int {
	if !c.noArgs(e, args) {
		return exitWrongUsage
	}
	h, _, stop := e.host(nil)
	defer stop()
	return e.hostExit(h.Confirm(c.dryRun))
}

// hostLookup resolves with Go's resolver, in a process that knows no earlier resolv.conf.
type hostLookup struct{ hostUsage }

func (c *hostLookup) flags(*flagSet) {}

func (c *hostLookup) run(e *env, args []string) int {
	if len(args) != 1 {
		e.errorf("Error: lookup needs one NAME")
		return exitWrongUsage
	}
	ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
	defer cancel()
	list, err := (&net.Resolver{PreferGo: true}).LookupHost(ctx, args[0])
	if err != nil {
		return e.hostExit(err)
	}
	for _, a := range list {
		fmt.Fprintln(e.stdout, a)
	}
	return 0
}
