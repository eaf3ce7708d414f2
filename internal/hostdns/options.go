package hostdns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Options of installing.
type Options struct {
	Mode     string         // one of Modes; "" is Auto
	Docker   bool           // point containers at berth, too
	Address  netip.AddrPort // where the host asks berth; zero is 127.0.0.1 at Host.Port
	Bridge   netip.Addr     // where containers ask; zero is the address of docker0
	Search   string         // First, Last or None; "" is First
	Fallback bool           // keep the former servers behind berth
	Link     bool           // mode resolved: a link of its own instead of a drop-in
	Domain   string         // berth's; "" is consul
	TestName string         // a name outside the catalog that must resolve; "" is example.com
	Services []string       // names in the catalog, one of which serves as the short name of the test
	Confirm  time.Duration  // undo unless confirmed within; 0: no need
	Force    bool           // uninstall: put back files that somebody changed
	DryRun   bool
	Yes      bool
}

// linkAddr is the address of the link of mode resolved.
var linkAddr = netip.MustParseAddr("169.254.53.53")

// fill puts defaults in and refuses what makes no sense.
func (o *Options) fill(port uint16) error {
	set := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	set(&o.Mode, Auto)
	set(&o.Search, First)
	set(&o.Domain, "consul")
	set(&o.TestName, "example.com")
	o.Domain = strings.Trim(strings.ToLower(o.Domain), ".")
	if !slices.Contains(Modes[:], o.Mode) {
		return fmt.Errorf("%w: unknown mode %q; it is one of %s", ErrUsage, o.Mode, strings.Join(Modes[:], ", "))
	}
	if o.Search != First && o.Search != Last && o.Search != None {
		return fmt.Errorf("%w: --search %q; it is first, last or none", ErrUsage, o.Search)
	}
	if !validDomain(o.Domain) {
		return fmt.Errorf("%w: --domain %q is not a domain name", ErrUsage, o.Domain)
	}
	if !validDomain(strings.TrimSuffix(o.TestName, ".")) || !strings.Contains(strings.TrimSuffix(o.TestName, "."), ".") {
		return fmt.Errorf("%w: --test-name %q is not a full domain name", ErrUsage, o.TestName)
	}
	if o.Confirm < 0 {
		return fmt.Errorf("%w: --confirm takes a number of seconds", ErrUsage)
	}
	if o.Mode == Docker {
		o.Docker = true
	}
	if o.Link && o.Mode != Resolved && o.Mode != Auto {
		return fmt.Errorf("%w: --link belongs to --mode resolved", ErrUsage)
	}
	if !o.Address.IsValid() {
		o.Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	}
	if o.Address.Port() == 0 {
		o.Address = netip.AddrPortFrom(o.Address.Addr(), port)
	}
	if o.Address.Addr().IsUnspecified() || o.Address.Addr().IsMulticast() {
		return fmt.Errorf("%w: --address %s is not an address that can be asked", ErrUsage, o.Address.Addr())
	}
	if o.Bridge.IsValid() && o.Bridge.IsLoopback() {
		return fmt.Errorf("%w: --docker-address %s: a container's own loopback is not this host's", ErrUsage, o.Bridge)
	}
	return nil
}

// checkPort refuses a port that the mode cannot express.
func (o *Options) checkPort(port uint16) error {
	if o.Address.Port() == port || o.Mode == Resolved && !o.Link || o.Mode == Print {
		return nil
	}
	return fmt.Errorf("%w: --address %s: mode %s has no room for a port, berth must answer on %d; modes resolved and print can name one",
		ErrUsage, o.Address, o.Mode, port)
}

// validDomain tells whether s is made of labels that go into a configuration file.
func validDomain(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
