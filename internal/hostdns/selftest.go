package hostdns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// probe is one thing that was tried.
type probe struct {
	name   string
	ok     bool
	must   bool // without it nothing is installed
	detail string
}

func (p probe) String() string {
	word := "ok  "
	switch {
	case !p.ok && p.must:
		word = "FAIL"
	case !p.ok:
		word = "warn"
	}
	return fmt.Sprintf("  [%s] %s: %s", word, p.name, p.detail)
}

// localName is a name that every cluster with a leader has.
func localName(domain string) string { return "consul.service." + domain }

// label is the first label of localName: by the search list it is the same name. Without one it
// is no test, since it is the apex of the default domain.
const label = "consul"

// selfTest asks the listener what the host will ask it. external says whether names outside
// the catalog must resolve: not on a host where they do not now.
func selfTest(ctx context.Context, at netip.AddrPort, o Options, external bool) []probe {
	out := []probe{
		try(ctx, "local name "+localName(o.Domain), "udp", at, localName(o.Domain), true),
	}
	if !out[0].ok {
		return out // the rest says the same
	}
	out = append(out, try(ctx, "TCP", "tcp", at, localName(o.Domain), true))
	outside := try(ctx, "external name "+o.TestName, "udp", at, o.TestName, external)
	if !outside.ok && !external {
		outside.detail += "; it does not resolve now either"
		return append(out, outside)
	}
	return append(out, outside, tryLoop(ctx, at, o.TestName, external))
}

// selfTestSettled is selfTest, again until it passes or the settle time is over: the agent may
// have started, or read its upstreams, just now.
func (h *Host) selfTestSettled(ctx context.Context, at netip.AddrPort, o Options, external bool) []probe {
	end := time.Now().Add(h.settle())
	for {
		list := selfTest(ctx, at, o, external)
		if failed(list) == nil || time.Now().After(end) || ctx.Err() != nil {
			return list
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// findShort is the first service of a few that berth resolves as a single label; "" is none.
func findShort(ctx context.Context, at netip.AddrPort, services []string) string {
	for _, name := range services[:min(len(services), 10)] {
		if a, err := ask(ctx, "udp", at, name); err == nil && a.found() {
			return name
		}
	}
	return ""
}

func try(ctx context.Context, title, network string, at netip.AddrPort, name string, must bool) probe {
	a, err := ask(ctx, network, at, name)
	p := probe{name: title, must: must, detail: a.String()}
	if err != nil {
		p.detail = err.Error()
	}
	p.ok = err == nil && a.found()
	return p
}

// tryLoop asks for a name that nobody has cached: in a loop the question never ends in an
// answer, since each round finds itself already waiting.
func tryLoop(ctx context.Context, at netip.AddrPort, below string, must bool) probe {
	a, err := ask(ctx, "udp", at, randomName(below))
	p := probe{name: "no forwarding loop", must: must, detail: "a random name is answered"}
	p.ok = err == nil && (a.rcode == dnsmessage.RCodeSuccess || a.rcode == dnsmessage.RCodeNameError)
	if err != nil {
		p.detail = "a random name is not answered: " + err.Error()
	} else if !p.ok {
		p.detail = "a random name is answered with " + rcodeName(a.rcode) + ": the upstreams fail, or send questions back here"
	}
	return p
}

// failed is the error of the probes that must not fail.
func failed(list []probe) error {
	var bad []string
	for _, p := range list {
		if p.must && !p.ok {
			bad = append(bad, p.name+": "+p.detail)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return errors.New(strings.Join(bad, "; "))
}

// checkListener finds out who answers at the address, before anything is changed.
func (h *Host) checkListener(ctx context.Context, at netip.AddrPort, o Options) error {
	list := h.sockets(at.Port())
	if s, ok := h.foreign(list, at); ok {
		return fmt.Errorf("%s is held by %s, not by berth. Either stop that (for example: systemctl disable --now %s), "+
			"or let berth listen on another address (addresses.dns) and name it with --address, "+
			"or run berth behind it: leave berth on port 8600 and see `berth host install --mode print --address 127.0.0.1:8600`",
			at, s.owner(), s.Owners[0].Name)
	}
	_, err := ask(ctx, "udp", at, localName(o.Domain))
	if err == nil {
		return nil
	}
	hint := "start the agent first: berth agent, as root or with the right to bind port 53 (cap_net_bind_service)"
	if !errors.Is(err, syscall.ECONNREFUSED) {
		hint = "the agent may be starting, or a firewall drops the question"
	}
	return fmt.Errorf("no answer from berth at %s: %w; %s", at, err, hint)
}
