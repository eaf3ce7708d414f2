package registrator

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	"berth"
)

type nullSink struct{}

func (nullSink) Replace(string, []berth.ServiceDefinition) error { return nil }

// testRegistrator is one whose node is 192.0.2.1 and 2001:db8::1.
func testRegistrator(t testing.TB, change func(*Config)) *Registrator {
	t.Helper()
	cfg := Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Sink: nullSink{}, Node: "host",
		NodeAddress:  func() netip.Addr { return netip.MustParseAddr("192.0.2.1") },
		NodeAddress6: func() netip.Addr { return netip.MustParseAddr("2001:db8::1") }}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.state.nodeAddr, r.state.nodeAddr6 = r.nodeAddresses()
	r.state.engineID = "E"
	return r
}

// parse makes a container out of lines: "image X", "name X", "net X", "expose 80/tcp",
// "publish [ip:]host>80/tcp", "want host>80/tcp", "network name ip [ip6]", "label K=V", "env K=V".
func parse(t testing.TB, text string) *inspected {
	t.Helper()
	c := &inspected{id: strings.Repeat("ab", 32), name: "c", image: "redis:7", networkMode: "default", stopTimeout: -1,
		ports: map[portProto][]binding{}, wanted: map[portProto][]binding{}, labels: map[string]string{},
		state: containerState{status: "running", running: true, startedText: "T", started: time.Unix(1, 0)}}
	port := func(s string) portProto {
		p, err := parsePortProto(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	bind := func(s string) (binding, portProto) {
		host, cont, _ := strings.Cut(s, ">")
		ip, num := "", host
		if i := strings.LastIndexByte(host, ':'); i >= 0 {
			ip, num = strings.Trim(host[:i], "[]"), host[i+1:]
		}
		return toBinding(ip, num), port(cont)
	}
	for _, line := range strings.Split(text, "\n") {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		k, v, _ := strings.Cut(rest, "=")
		switch word {
		case "image":
			c.image = rest
		case "name":
			c.name = rest
		case "net":
			c.networkMode = rest
		case "tag":
			c.repoTag = rest
		case "expose":
			c.exposed = append(c.exposed, port(rest))
			if c.networkKind() == "network" {
				if _, ok := c.ports[port(rest)]; !ok {
					c.ports[port(rest)] = nil
				}
			}
		case "publish":
			b, p := bind(rest)
			c.ports[p] = append(c.ports[p], b)
			c.exposed = append(c.exposed, p)
		case "want":
			b, p := bind(rest)
			c.wanted[p] = append(c.wanted[p], b)
		case "network":
			f := strings.Fields(rest)
			e := endpoint{name: f[0], id: "id-" + f[0], ip4: parseAddr(f[1])}
			if len(f) > 2 {
				e.ip6 = parseAddr(f[2])
			}
			c.networks = append(c.networks, e)
			sort.Slice(c.networks, func(i, j int) bool { return c.networks[i].name < c.networks[j].name })
		case "label":
			c.labels[k] = v
		case "env":
			c.env = append(c.env, rest)
		case "":
		default:
			t.Fatalf("line %q", line)
		}
	}
	return c
}

func buildIt(r *Registrator, c *inspected) built {
	c.tagsText, c.tagsErr = r.tags.run(c.detail)
	b := builder{r: r, c: c, net: c, now: time.Unix(0, 0)}
	return b.build()
}

// show is one line per instance: id name address:port tags [k=v ...], and per refused port its
// reason.
func show(b built) []string {
	out := []string{}
	for _, in := range b.instances {
		d := in.def
		s := fmt.Sprintf("%s %s %s", d.ID, d.Name, hostPort(d.Address, d.Port))
		if len(d.Tags) > 0 {
			s += " tags=" + strings.Join(d.Tags, ",")
		}
		var meta []string
		for k, v := range d.Meta {
			if !strings.HasPrefix(k, berth.MetaPrefix) {
				meta = append(meta, k+"="+v)
			}
		}
		sort.Strings(meta)
		for _, m := range meta {
			s += " " + m
		}
		for _, fam := range []string{"lan_ipv4", "lan_ipv6"} {
			if a, ok := d.TaggedAddresses[fam]; ok {
				s += " " + fam + "=" + hostPort(a.Address, a.Port)
			}
		}
		out = append(out, s)
	}
	for _, p := range b.ports {
		if p.Reason != "" {
			out = append(out, p.Port+" "+p.Reason)
		}
	}
	if len(b.instances) == 0 && len(b.ports) == 0 {
		out = append(out, b.reason)
	}
	sort.Strings(out)
	return out
}

type goldenCase struct {
	name      string
	change    func(*Config)
	container string
	native    []string
	compat    []string // nil: the same
}

var goldenCases = []goldenCase{
	// The five examples of registrator's documentation.
	{name: "single service with defaults", container: "name redis.0\nimage dockerfile/redis\npublish 10000>6379/tcp",
		native: []string{"host:redis.0:6379 redis 192.0.2.1:10000"}},
	{name: "single service with metadata", container: `name redis.0
		image dockerfile/redis
		publish 10000>6379/tcp
		env SERVICE_NAME=db
		env SERVICE_TAGS=master,backups
		env SERVICE_REGION=us2`,
		native: []string{"host:redis.0:6379 db 192.0.2.1:10000 tags=master,backups region=us2"}},
	{name: "multiple services with defaults", container: `name nginx.0
		image progrium/nginx
		publish 4443>443/tcp
		publish 8000>80/tcp`,
		native: []string{"host:nginx.0:443 nginx-443 192.0.2.1:4443", "host:nginx.0:80 nginx-80 192.0.2.1:8000"}},
	{name: "multiple services with metadata", container: `name nginx.0
		image progrium/nginx
		publish 4443>443/tcp
		publish 8000>80/tcp
		env SERVICE_443_NAME=https
		env SERVICE_443_ID=https.12345
		env SERVICE_443_SNI=enabled
		env SERVICE_80_NAME=http
		env SERVICE_TAGS=www`,
		native: []string{"host:nginx.0:80 http 192.0.2.1:8000 tags=www", "https.12345 https 192.0.2.1:4443 tags=www sni=enabled"}},
	{name: "tcp and udp", container: "name consul\nimage progrium/consul\npublish 53>53/tcp\npublish 53>53/udp",
		native: []string{"host:consul:53 consul-53 192.0.2.1:53", "host:consul:53:udp consul-53 192.0.2.1:53 tags=udp"}},

	// Precedence.
	{name: "label before env, port before general", container: `publish 1000>80/tcp
		env SERVICE_NAME=env
		label SERVICE_NAME=label
		env SERVICE_80_TAGS=port
		label SERVICE_TAGS=general`, native: []string{"host:c:80 label 192.0.2.1:1000 tags=port"}},
	{name: "specific env before general label", container: "publish 1000>80/tcp\nlabel SERVICE_NAME=general\nenv SERVICE_80_NAME=port",
		native: []string{"host:c:80 port 192.0.2.1:1000"}},
	{name: "last env wins", container: "publish 1000>80/tcp\nenv SERVICE_NAME=one\nenv SERVICE_NAME=two",
		native: []string{"host:c:80 two 192.0.2.1:1000"}},
	{name: "protocol and range scopes", container: `publish 53>53/tcp
		publish 53>53/udp
		publish 54>54/udp
		label SERVICE_NAME=general
		label SERVICE_50-60_NAME=range
		label SERVICE_50-55_UDP_NAME=narrow-udp
		label SERVICE_53_UDP_NAME=dns-udp`,
		native: []string{"host:c:53 range 192.0.2.1:53", "host:c:53:udp dns-udp 192.0.2.1:53 tags=udp", "host:c:54:udp narrow-udp 192.0.2.1:54 tags=udp"},
		compat: []string{"host:c:53 general-53 192.0.2.1:53 50-55_udp_name=narrow-udp 50-60_name=range udp_name=dns-udp",
			"host:c:53:udp general-53 192.0.2.1:53 tags=udp 50-55_udp_name=narrow-udp 50-60_name=range udp_name=dns-udp",
			"host:c:54:udp general-54 192.0.2.1:54 tags=udp 50-55_udp_name=narrow-udp 50-60_name=range"}},
	{name: "leading zeros", container: "publish 1000>80/tcp\nlabel SERVICE_080_NAME=zeros",
		native: []string{"host:c:80 zeros 192.0.2.1:1000"}, compat: []string{"host:c:80 redis 192.0.2.1:1000"}},
	{name: "empty value unsets", container: "publish 1000>80/tcp\nlabel SERVICE_TAGS=a\nlabel SERVICE_80_TAGS=\nlabel SERVICE_X=y\nlabel SERVICE_80_X=",
		native: []string{"host:c:80 redis 192.0.2.1:1000"}},
	{name: "empty scoped name keeps the suffix away", container: "publish 1000>80/tcp\npublish 1001>81/tcp\nlabel SERVICE_80_NAME=",
		native: []string{"host:c:80 redis 192.0.2.1:1000", "host:c:81 redis-81 192.0.2.1:1001"}},
	{name: "field in any case", container: "publish 1000>80/tcp\nlabel SERVICE_80_name=web\nlabel service_80_name=no",
		native: []string{"host:c:80 web 192.0.2.1:1000"}},
	{name: "scope with nothing after it", container: "publish 1000>53/udp\nlabel SERVICE_53_UDP=x\nlabel SERVICE_80=y",
		native: []string{"host:c:53:udp redis 192.0.2.1:1000 tags=udp 80=y udp=x"}},

	// Tags.
	{name: "escaped commas", container: `publish 1000>80/tcp
		label SERVICE_TAGS=a\,b,,c`, native: []string{"host:c:80 redis 192.0.2.1:1000 tags=a,b,c"}},
	{name: "tags are trimmed and unique", container: "publish 1000>80/tcp\nlabel SERVICE_TAGS=b, a ,b",
		native: []string{"host:c:80 redis 192.0.2.1:1000 tags=b,a"}, compat: []string{"host:c:80 redis 192.0.2.1:1000 tags=b, a ,b"}},
	{name: "tags of the configuration", change: func(c *Config) { c.Tags = "x,y" }, container: "publish 1000>80/tcp\nlabel SERVICE_TAGS=a",
		native: []string{"host:c:80 redis 192.0.2.1:1000 tags=a,x,y"}},
	{name: "published port on the container's address", change: func(c *Config) { c.IPFromContainer = true },
		container: "publish 1000>80/tcp\nnetwork bridge 172.17.0.2",
		native:    []string{"host:c:80 redis 172.17.0.2:1000"}},
	{name: "automatic tags", change: func(c *Config) { c.AutoTags = true },
		container: "publish 1000>80/tcp\nlabel com.docker.compose.project=shop",
		native:    []string{"host:c:80 redis 192.0.2.1:1000 tags=7,shop,abababababab"}},

	// Ignoring.
	{name: "ignore one port", container: "publish 1000>80/tcp\npublish 1001>81/tcp\nlabel SERVICE_81_IGNORE=yes",
		native: []string{"81/tcp ignored-by-key", "host:c:80 redis 192.0.2.1:1000"},
		compat: []string{"81/tcp ignored-by-key", "host:c:80 redis-80 192.0.2.1:1000"}},
	{name: "ignore false", container: "publish 1000>80/tcp\nlabel SERVICE_IGNORE=false",
		native: []string{"host:c:80 redis 192.0.2.1:1000"}, compat: []string{"80/tcp ignored-by-key"}},
	{name: "ignore with odd text", container: "publish 1000>80/tcp\nlabel SERVICE_IGNORE=whatever", native: []string{"80/tcp ignored-by-key"}},
	{name: "explicit", change: func(c *Config) { c.Explicit = true },
		container: "publish 1000>80/tcp\npublish 1001>81/tcp\nlabel SERVICE_80_NAME=web",
		native:    []string{"81/tcp explicit-no-name", "host:c:80 web 192.0.2.1:1000"}},
	{name: "explicit counts what is left", change: func(c *Config) { c.Explicit = true },
		container: "publish 1000>80/tcp\npublish 1001>81/tcp\nlabel SERVICE_NAME=web\nlabel SERVICE_81_IGNORE=1",
		native:    []string{"81/tcp ignored-by-key", "host:c:80 web 192.0.2.1:1000"},
		compat:    []string{"81/tcp ignored-by-key", "host:c:80 web-80 192.0.2.1:1000"}},

	// Ports and addresses.
	{name: "nothing", container: "", native: []string{"no-ports"}},
	{name: "exposed only", container: "expose 80/tcp", native: []string{"80/tcp not-published"}},
	{name: "unpublished ports do not count", container: "publish 1000>80/tcp\nexpose 443/tcp",
		native: []string{"443/tcp not-published", "host:c:80 redis 192.0.2.1:1000"}},
	{name: "portless", container: "label SERVICE_PORTLESS=true\nlabel SERVICE_NAME=job", native: []string{"host:c:0 job 192.0.2.1:0"}},
	{name: "specific address", container: "publish 198.51.100.7:1000>80/tcp", native: []string{"host:c:80 redis 198.51.100.7:1000"}},
	{name: "-ip", change: func(c *Config) { c.IP = "203.0.113.9" }, container: "publish 1000>80/tcp\npublish 198.51.100.7:1001>81/tcp",
		native: []string{"host:c:80 redis-80 203.0.113.9:1000", "host:c:81 redis-81 198.51.100.7:1001"},
		compat: []string{"host:c:80 redis-80 203.0.113.9:1000", "host:c:81 redis-81 203.0.113.9:1001"}},
	{name: "loopback only", container: "publish 127.0.0.1:1000>80/tcp",
		native: []string{"80/tcp loopback-only"}, compat: []string{"host:c:80 redis 127.0.0.1:1000"}},
	{name: "dual stack with different ports", container: "publish 0.0.0.0:49153>80/tcp\npublish [::]:49154>80/tcp",
		native: []string{"host:c:80 redis 192.0.2.1:49153"}},
	{name: "dual stack, both wanted", change: func(c *Config) { c.AddressFamily = FamilyDual },
		container: "publish 0.0.0.0:49153>80/tcp\npublish [::]:49154>80/tcp",
		native:    []string{"host:c:80 redis 192.0.2.1:49153 lan_ipv4=192.0.2.1:49153 lan_ipv6=[2001:db8::1]:49154"}},
	{name: "ipv6", change: func(c *Config) { c.AddressFamily = FamilyIPv6 },
		container: "publish 0.0.0.0:49153>80/tcp\npublish [::]:49154>80/tcp",
		native:    []string{"host:c:80 redis [2001:db8::1]:49154"}},
	{name: "lone [::] does not serve IPv4", container: "publish [::]:1000>80/tcp", native: []string{"80/tcp no-address"}},
	{name: "lone [::], IPv6 wanted", change: func(c *Config) { c.AddressFamily = FamilyPreferIPv6 }, container: "publish [::]:1000>80/tcp",
		native: []string{"host:c:80 redis [2001:db8::1]:1000"}},
	{name: "two bindings, the first counts", container: "publish 1000>80/tcp\npublish 1001>80/tcp", native: []string{"host:c:80 redis 192.0.2.1:1000"}},
	{name: "two bindings, all", change: func(c *Config) { c.AllBindings = true; c.NamePortSuffix = "never" },
		container: "publish 1000>80/tcp\npublish 1001>80/tcp",
		native:    []string{"host:c:80:1000 redis 192.0.2.1:1000", "host:c:80:1001 redis 192.0.2.1:1001"}},
	{name: "internal", change: func(c *Config) { c.Internal = true }, container: "publish 1000>80/tcp\nexpose 81/tcp\nnetwork bridge 172.17.0.2",
		native: []string{"host:c:80 redis-80 172.17.0.2:80", "host:c:81 redis-81 172.17.0.2:81"}},
	{name: "internal without address", change: func(c *Config) { c.Internal = true }, container: "expose 80/tcp", native: []string{"80/tcp no-address"}},
	{name: "auto", change: func(c *Config) { c.AddressMode = AddressAuto }, container: "publish 1000>80/tcp\nexpose 81/tcp\nnetwork bridge 172.17.0.2",
		native: []string{"host:c:80 redis-80 192.0.2.1:1000", "host:c:81 redis-81 172.17.0.2:81"},
		compat: []string{"host:c:80 redis-80 192.0.2.1:1000", "host:c:81 redis-81 172.17.0.2:81"}},
	{name: "mode by label", container: "publish 1000>80/tcp\nnetwork bridge 172.17.0.2\nlabel SERVICE_INTERNAL=true", native: []string{"host:c:80 redis 172.17.0.2:80"}},
	{name: "mode by env", container: "publish 1000>80/tcp\nnetwork bridge 172.17.0.2\nenv SERVICE_ADDRESS_MODE=internal",
		native: []string{"host:c:80 redis 172.17.0.2:80"}, compat: []string{"host:c:80 redis 192.0.2.1:1000 address_mode=internal"}},
	{name: "user-defined network is published at the host", container: "net front\npublish 1000>80/tcp\nnetwork front 10.0.0.2",
		native: []string{"host:c:80 redis 192.0.2.1:1000"}},
	{name: "several networks: the one it was started with", change: func(c *Config) { c.Internal = true },
		container: "net front\nexpose 80/tcp\nnetwork alpha 10.1.0.2\nnetwork front 10.0.0.2", native: []string{"host:c:80 redis 10.0.0.2:80"}},
	{name: "several networks: by ID", change: func(c *Config) { c.Internal = true },
		container: "net id-front\nexpose 80/tcp\nnetwork alpha 10.1.0.2\nnetwork front 10.0.0.2", native: []string{"host:c:80 redis 10.0.0.2:80"}},
	{name: "several networks: SERVICE_NETWORK", change: func(c *Config) { c.Internal = true },
		container: "net front\nexpose 80/tcp\nnetwork alpha 10.1.0.2\nnetwork front 10.0.0.2\nlabel SERVICE_NETWORK=10.1.0.0/16",
		native:    []string{"host:c:80 redis 10.1.0.2:80"}},
	{name: "several networks: the setting", change: func(c *Config) { c.Internal = true; c.Networks = []string{"none*", "al*"} },
		container: "net front\nexpose 80/tcp\nnetwork alpha 10.1.0.2\nnetwork front 10.0.0.2", native: []string{"host:c:80 redis 10.1.0.2:80"}},
	{name: "several networks: the alphabet", change: func(c *Config) { c.Internal = true },
		container: "net gone\nexpose 80/tcp\nnetwork zeta 10.1.0.2\nnetwork beta 10.0.0.2", native: []string{"host:c:80 redis 10.0.0.2:80"}},
	{name: "host mode", container: "net host\nexpose 80/tcp", native: []string{"host:c:80 redis 192.0.2.1:80"}},
	{name: "host mode, several exposed", container: "net host\nexpose 80/tcp\nexpose 443/tcp",
		native: []string{"no-ports"}, compat: []string{"host:c:443 redis-443 192.0.2.1:443", "host:c:80 redis-80 192.0.2.1:80"}},
	{name: "host mode, one declared", container: "net host\nexpose 80/tcp\nexpose 443/tcp\nlabel SERVICE_443_NAME=tls\nlabel SERVICE_80_IGNORE=",
		native: []string{"host:c:443 tls 192.0.2.1:443"}, compat: []string{"host:c:443 tls 192.0.2.1:443", "host:c:80 redis-80 192.0.2.1:80"}},
	{name: "host mode, -p ports", container: "net host\nexpose 80/tcp\nexpose 443/tcp\nwant 443>443/tcp",
		native: []string{"host:c:443 redis 192.0.2.1:443"}, compat: []string{"host:c:443 redis-443 192.0.2.1:443", "host:c:80 redis-80 192.0.2.1:80"}},
	{name: "PORTS", container: "net host\nexpose 80/tcp\nexpose 443/tcp\nlabel SERVICE_PORTS=8080,53/udp",
		native: []string{"host:c:53:udp redis-53 192.0.2.1:53 tags=udp", "host:c:8080 redis-8080 192.0.2.1:8080"}},
	{name: "PORTS as env is an attribute", container: "publish 1000>80/tcp\nenv SERVICE_PORTS=8080\nenv SERVICE_PORT=9",
		native: []string{"host:c:80 redis 192.0.2.1:1000 port=9 ports=8080"}},
	{name: "PORT", container: "publish 1000>80/tcp\nlabel SERVICE_80_PORT=9999", native: []string{"host:c:80 redis 192.0.2.1:9999"}},
	{name: "no network", container: "net none\nexpose 80/tcp", native: []string{"no-ports"}},
	{name: "no network, address given", container: "net none\nexpose 80/tcp\nlabel SERVICE_IP=198.51.100.1", native: []string{"host:c:80 redis 198.51.100.1:80"}},
	{name: "SERVICE_IP", container: "publish 1000>80/tcp\nlabel SERVICE_IP=198.51.100.1", native: []string{"host:c:80 redis 198.51.100.1:1000"}},
	{name: "SERVICE_IP as env", container: "publish 1000>80/tcp\nenv SERVICE_IP=198.51.100.1\nenv SERVICE_ADDRESS=somewhere",
		native: []string{"host:c:80 redis 198.51.100.1:1000 address=somewhere"}, compat: []string{"host:c:80 redis 192.0.2.1:1000 address=somewhere"}},
	{name: "SERVICE_ADDRESS network", container: "publish 1000>80/tcp\nnetwork alpha 10.1.0.2\nlabel SERVICE_ADDRESS=network:alpha",
		native: []string{"host:c:80 redis 10.1.0.2:80"}},
	{name: "useIpFromLabel", change: func(c *Config) { c.UseIPFromLabel = "ip" }, container: "publish 1000>80/tcp\nlabel ip=10.9.8.7/24",
		native: []string{"host:c:80 redis 10.9.8.7:1000"}},
	{name: "useIpFromLabel missing", change: func(c *Config) { c.UseIPFromLabel = "ip" }, container: "publish 1000>80/tcp", native: []string{"host:c:80 redis 192.0.2.1:1000"}},

	// Names and IDs.
	{name: "image with registry and digest", container: "image h:5000/a/redis:7@sha256:1234\npublish 1000>80/tcp",
		native: []string{"host:c:80 redis 192.0.2.1:1000"}},
	{name: "image with digest", container: "image redis@sha256:1234\npublish 1000>80/tcp",
		native: []string{"host:c:80 redis 192.0.2.1:1000"}, compat: []string{"host:c:80 redis@sha256 192.0.2.1:1000"}},
	{name: "image by ID", container: "image sha256:" + strings.Repeat("a1", 32) + "\ntag shop/cart:2\npublish 1000>80/tcp",
		native: []string{"host:c:80 cart 192.0.2.1:1000"}, compat: []string{"host:c:80 sha256 192.0.2.1:1000"}},
	{name: "image by ID without tag", container: "image sha256:" + strings.Repeat("a1", 32) + "\npublish 1000>80/tcp",
		native: []string{"host:c:80 c 192.0.2.1:1000"}, compat: []string{"host:c:80 sha256 192.0.2.1:1000"}},
	{name: "compose service", container: "publish 1000>80/tcp\nlabel com.docker.compose.service=cart",
		native: []string{"host:c:80 cart 192.0.2.1:1000"}, compat: []string{"host:c:80 redis 192.0.2.1:1000"}},
	{name: "swarm service", container: "publish 1000>80/tcp\nlabel com.docker.compose.service=cart\nlabel com.docker.swarm.service.name=stack_cart",
		native: []string{"host:c:80 stack-cart 192.0.2.1:1000"}, compat: []string{"host:c:80 redis 192.0.2.1:1000"}},
	{name: "container name", change: func(c *Config) { c.DefaultName = "container" }, container: "name My.App\npublish 1000>80/tcp",
		native: []string{"host:My.App:80 my-app 192.0.2.1:1000"}, compat: []string{"host:My.App:80 My.App 192.0.2.1:1000"}},
	{name: "suffix always", change: func(c *Config) { c.NamePortSuffix = "always" }, container: "publish 1000>80/tcp", native: []string{"host:c:80 redis-80 192.0.2.1:1000"}},
	{name: "suffix never", change: func(c *Config) { c.NamePortSuffix = "never" }, container: "publish 1000>80/tcp\npublish 1001>81/tcp",
		native: []string{"host:c:80 redis 192.0.2.1:1000", "host:c:81 redis 192.0.2.1:1001"}},
	{name: "suffix proto", change: func(c *Config) { c.NamePortSuffix = "proto" }, container: "publish 53>53/tcp\npublish 53>53/udp",
		native: []string{"host:c:53 redis-53 192.0.2.1:53", "host:c:53:udp redis-53-udp 192.0.2.1:53 tags=udp"}},
	{name: "several names", container: "publish 1000>80/tcp\nlabel SERVICE_80_NAME=web, api", native: []string{"host:c:80 web 192.0.2.1:1000", "host:c:80:api api 192.0.2.1:1000"},
		compat: []string{"host:c:80 web, api 192.0.2.1:1000"}},
	{name: "general ID on several ports", container: "publish 1000>80/tcp\npublish 53>53/udp\nlabel SERVICE_ID=x",
		native: []string{"x:53:udp redis-53 192.0.2.1:53 tags=udp", "x:80 redis-80 192.0.2.1:1000"}},
	{name: "sctp", container: "publish 1000>80/tcp\npublish 1000>80/sctp",
		native: []string{"host:c:80 redis-80 192.0.2.1:1000", "host:c:80:sctp redis-80 192.0.2.1:1000 tags=sctp"},
		compat: []string{"host:c:80 redis-80 192.0.2.1:1000", "host:c:80:sctp redis-80 192.0.2.1:1000"}},
	{name: "foreign IDs refused", change: func(c *Config) { no := false; c.AllowCustomID = &no }, container: "publish 1000>80/tcp\nlabel SERVICE_ID=x", native: []string{"80/tcp bad-id"}},
	{name: "names allowed", change: func(c *Config) { c.AllowNames = []string{"web*"} }, container: "publish 1000>80/tcp\npublish 1001>81/tcp\nlabel SERVICE_80_NAME=web1\nlabel SERVICE_81_NAME=db",
		native: []string{"81/tcp name-not-allowed", "host:c:80 web1 192.0.2.1:1000"}},

	// Who is seen.
	{name: "constraint", change: func(c *Config) { c.Constraint = "label(a)=b" }, container: "publish 1000>80/tcp", native: []string{"constraint"}},
	{name: "compose run", container: "publish 1000>80/tcp\nlabel com.docker.compose.oneoff=True", native: []string{"oneoff"}},
	{name: "compose run, named", container: "publish 1000>80/tcp\nlabel com.docker.compose.oneoff=True\nlabel SERVICE_NAME=job", native: []string{"host:c:80 job 192.0.2.1:1000"}},
	{name: "kubernetes", container: "publish 1000>80/tcp\nlabel io.kubernetes.container.name=app", native: []string{"k8s"}},
	{name: "nomad", container: "publish 1000>80/tcp\nlabel com.hashicorp.nomad.alloc_id=1", native: []string{"nomad"}},
	{name: "swarm task uses its overlay address", container: "expose 80/tcp\nnetwork ingress 10.255.0.3\nnetwork shop 10.0.1.5\nnet shop\nlabel com.docker.swarm.task.id=1\nlabel com.docker.swarm.service.name=web",
		native: []string{"host:c:80 web 10.0.1.5:80"}, compat: []string{"host:c:80 redis 10.0.1.5:80"}},

	{name: "the more specific address wins", container: "publish 1000>80/tcp\npublish 1001>81/tcp\nlabel SERVICE_NAME=w\nlabel SERVICE_IP=192.0.2.7\nlabel SERVICE_80_ADDRESS=192.0.2.8",
		native: []string{"host:c:80 w-80 192.0.2.8:1000", "host:c:81 w-81 192.0.2.7:1001"}},

	{name: "an address key gives the family asked for", container: "publish 1000>80/tcp\npublish 1001>81/tcp\nnetwork bridge 10.0.0.2 fd00::2\nlabel SERVICE_NAME=w\nlabel SERVICE_ADDRESS_FAMILY=ipv6\nlabel SERVICE_80_ADDRESS=network:bridge\nlabel SERVICE_81_ADDRESS=host",
		native: []string{"host:c:80 w-80 [fd00::2]:80", "host:c:81 w-81 [2001:db8::1]:1001"}},

	{name: "an address key goes with the published port", container: "publish 127.0.0.1:1000>80/tcp\nexpose 81/tcp\nlabel SERVICE_NAME=w\nlabel SERVICE_IP=192.0.2.9",
		native: []string{"host:c:80 w-80 192.0.2.9:1000", "host:c:81 w-81 192.0.2.9:81"}},

	// Metadata.
	{name: "secrets and checks stay out", container: `publish 1000>80/tcp
		env SERVICE_DB_PASSWORD=1
		env SERVICE_API_TOKEN=1
		label SERVICE_TOKEN=2
		label SERVICE_META_token=3
		env SERVICE_CHECK_TCP=true
		env SERVICE_COLOR=red
		label SERVICE_META_berth-owner=me
		label SERVICE_META_consul-x=me`, native: []string{"host:c:80 redis 192.0.2.1:1000 color=red token=3"},
		compat: []string{"host:c:80 redis 192.0.2.1:1000 color=red token=3"}},
	{name: "env_meta labels", change: func(c *Config) { c.EnvMeta = "labels" }, container: "publish 1000>80/tcp\nenv SERVICE_A=1\nlabel SERVICE_B=2", native: []string{"host:c:80 redis 192.0.2.1:1000 b=2"}},
	{name: "env_meta none", change: func(c *Config) { c.EnvMeta = "none" }, container: "publish 1000>80/tcp\nenv SERVICE_A=1\nlabel SERVICE_B=2", native: []string{"host:c:80 redis 192.0.2.1:1000"}},
	{name: "env_meta all", change: func(c *Config) { c.EnvMeta = "all" }, container: "publish 1000>80/tcp\nenv SERVICE_SECRET=1\nenv SERVICE_CHECK_NOTHING=2", native: []string{"host:c:80 redis 192.0.2.1:1000 secret=1"},
		compat: []string{"host:c:80 redis 192.0.2.1:1000 check_nothing=2 secret=1"}},
	{name: "key characters", container: "publish 1000>80/tcp\nlabel SERVICE_a.b/c=1", native: []string{"host:c:80 redis 192.0.2.1:1000 a_b_c=1"}},
}

func TestGolden(t *testing.T) {
	for _, tc := range goldenCases {
		for _, profile := range []string{ProfileNative, ProfileRegistrator} {
			t.Run(tc.name+"/"+profile, func(t *testing.T) {
				r := testRegistrator(t, func(c *Config) {
					c.Profile = profile
					if tc.change != nil {
						tc.change(c)
					}
				})
				want := tc.native
				if profile == ProfileRegistrator && tc.compat != nil {
					want = tc.compat
				}
				if got := show(buildIt(r, parse(t, tc.container))); !reflect.DeepEqual(got, want) {
					t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
				}
			})
		}
	}
}
