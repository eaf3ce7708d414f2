package dnsproxy

import (
	"net/netip"
	"sort"
	"strings"
	"time"
)

// domain is a suffix under which catalog names live, or a possible SOA owner.
type domain struct {
	wire []byte
	text string // without the final dot; "" is the root
}

// settings are what one Config and the files it names say, in the form that answering needs.
// They are replaced as a whole, never changed; answers made under old settings are not used.
type settings struct {
	zone     ZoneConfig
	fwd      ForwardConfig
	dc       string // lower case
	suffixes []domain
	apexes   []domain // longest first, suffixes included
	exclude  map[string]bool
	nodeTTL  uint32
	negTTL   uint32
	prefixes []ttlRule // longest first
	exact    map[string]uint32
	self     netip.Addr
	nodeName string
	static   *staticData
	allow    []netip.Prefix
	drop     bool
	rules    []rule // per-domain upstreams and local zones, longest first
}

type ttlRule struct {
	prefix string
	ttl    uint32
}

func newDomain(text string) domain {
	text = strings.ToLower(strings.TrimSuffix(text, "."))
	wire, _ := packName(text)
	return domain{wire, text}
}

// newSettings compiles a filled Config.
func newSettings(c *Config, static *staticData) *settings {
	s := &settings{
		zone: c.Zone, fwd: c.Forward, dc: strings.ToLower(c.Datacenter),
		exclude: map[string]bool{}, exact: map[string]uint32{},
		nodeTTL: seconds(c.Zone.NodeTTL), negTTL: seconds(c.Zone.NegTTL),
		self: c.AdvertiseAddr.Unmap(), nodeName: c.NodeName, static: static,
		allow: c.Access.Allow, drop: c.Access.Drop,
	}
	if s.allow == nil {
		s.allow = localNets()
	}
	s.suffixes = append(s.suffixes, newDomain(c.Zone.Domain))
	if c.Zone.AltDomain != "" {
		s.suffixes = append(s.suffixes, newDomain(c.Zone.AltDomain))
	}
	s.apexes = append(s.apexes, s.suffixes...)
	for _, z := range c.Zone.Zones {
		s.apexes = append(s.apexes, newDomain(z))
	}
	longest := func(d []domain) func(i, j int) bool {
		return func(i, j int) bool { return len(d[i].wire) > len(d[j].wire) }
	}
	sort.SliceStable(s.suffixes, longest(s.suffixes))
	sort.SliceStable(s.apexes, longest(s.apexes))
	for _, n := range c.Zone.ShortNamesExclude {
		s.exclude[strings.ToLower(n)] = true
	}
	for name, ttl := range c.Zone.ServiceTTL {
		name = strings.ToLower(name)
		if p, ok := strings.CutSuffix(name, "*"); ok {
			s.prefixes = append(s.prefixes, ttlRule{p, seconds(ttl)})
		} else {
			s.exact[name] = seconds(ttl)
		}
	}
	sort.Slice(s.prefixes, func(i, j int) bool { return len(s.prefixes[i].prefix) > len(s.prefixes[j].prefix) })
	s.rules = newRules(&c.Forward)
	return s
}

// seconds is a duration as a TTL.
func seconds(d time.Duration) uint32 {
	return uint32(max(0, min(d/time.Second, 1<<31-1)))
}

// serviceTTL is the TTL of a service's records: exact name before longest prefix.
func (s *settings) serviceTTL(name string) uint32 {
	if ttl, ok := s.exact[name]; ok {
		return ttl
	}
	for _, r := range s.prefixes {
		if strings.HasPrefix(name, r.prefix) {
			return r.ttl
		}
	}
	return 0
}

// suffixOf is the catalog domain that name is in or is, and the offset of it in name.
func (s *settings) suffixOf(name []byte) (*domain, int) {
	for i := range s.suffixes {
		if at, ok := suffix(name, s.suffixes[i].wire); ok {
			return &s.suffixes[i], at
		}
	}
	return nil, 0
}

// rule says where a domain and all below it go.
type rule struct {
	domain
	index int // in ForwardConfig.Domains; -1: local, never forwarded
}

// newRules orders local zones and per-domain upstreams, the longest first.
func newRules(f *ForwardConfig) []rule {
	var rules []rule
	for _, z := range f.LocalZones {
		rules = append(rules, rule{newDomain(z), -1})
	}
	for i, d := range f.Domains {
		r := rule{newDomain(d.Domain), i}
		if len(d.Servers) == 0 {
			r.index = -1
		}
		rules = append(rules, r)
	}
	sort.SliceStable(rules, func(i, j int) bool { return len(rules[i].wire) > len(rules[j].wire) })
	return rules
}

// ruleOf is the longest rule that name is under, or nil.
func (s *settings) ruleOf(name []byte) (*rule, int) {
	for i := range s.rules {
		if at, ok := suffix(name, s.rules[i].wire); ok {
			return &s.rules[i], at
		}
	}
	return nil, 0
}
