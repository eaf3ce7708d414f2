package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/testutil"
)

// host is a machine as tests want it: no question goes to the real one.
type host struct {
	addrs []config.HostAddr
	low   bool
}

func (h host) Hostname() (string, error)              { return "host1", nil }
func (h host) Interfaces() ([]config.HostAddr, error) { return h.addrs, nil }
func (h host) LowPorts() bool                         { return h.low }
func (h host) Template(text string) (string, error) {
	if strings.Contains(text, "broken") {
		return "", errors.New("unknown function")
	}
	return "10.9.8.7", nil
}

func addr(iface, ip string) config.HostAddr {
	return config.HostAddr{Interface: iface, Addr: netip.MustParseAddr(ip)}
}

// oneNIC is a Docker host with one network card.
var oneNIC = host{low: true, addrs: []config.HostAddr{
	addr("lo", "127.0.0.1"), addr("eth0", "10.1.2.3"), addr("eth0", "fd00::3"),
	addr("docker0", "172.17.0.1"), addr("br-4f5e6d7c8b9a", "172.18.0.1"),
}}

// sources parses an agent's command line.
func sources(t *testing.T, environ []string, args ...string) config.Sources {
	t.Helper()
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f := config.AgentFlags(fs)
	testutil.NoError(t, fs.Parse(args))
	src := f.Sources(environ)
	src.Host = oneNIC
	return src
}

func load(t *testing.T, args ...string) *config.Config {
	t.Helper()
	c, err := config.Load(sources(t, nil, args...))
	testutil.NoError(t, err)
	return c
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	testutil.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

var update = flag.Bool("update", false, "write the golden files")

// TestGolden compares testdata/NAME.{yaml,json} with testdata/NAME.golden.
func TestGolden(t *testing.T) {
	var files []string
	for _, pattern := range []string{"testdata/*.yaml", "testdata/*.json"} {
		found, err := filepath.Glob(pattern)
		testutil.NoError(t, err)
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Fatal("no test data")
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			c := load(t, "-config-file", name)
			got, err := json.MarshalIndent(c, "", "  ")
			testutil.NoError(t, err)
			golden := strings.TrimSuffix(name, filepath.Ext(name)) + ".golden"
			if *update {
				testutil.NoError(t, os.WriteFile(golden, append(got, '\n'), 0o600))
			}
			want, err := os.ReadFile(golden)
			testutil.NoError(t, err)
			if string(want) != string(got)+"\n" {
				t.Errorf("%s has changed: look at the difference after go test -update", golden)
			}
		})
	}
}

func TestLoad_LayersWinInOrder(t *testing.T) {
	first := write(t, "a.yaml", "datacenter: dc2\nnode_name: file\nlog_level: warn\nretry_join: [one]\nnode_meta: {rack: r1, row: a}\n")
	second := write(t, "b.json", `{"log_level": "error", "retry_join": ["two"], "node_meta": {"row": "b"}, "data_dir": "/d"}`)
	src := sources(t, []string{"BERTH_NODE_NAME=env", "BERTH_RETRY_JOIN=three, four", "BERTH_LOG_JSON=true"},
		"-config-file", first, "-config-file", second, "-node", "flag", "-retry-join", "five", "-node-meta", "zone:z1")
	c, err := config.Load(src)
	testutil.NoError(t, err)
	testutil.Equal(t, c.Node.Datacenter, "dc2")
	testutil.Equal(t, c.Node.Name, "flag")
	testutil.Equal(t, c.Log.Level, "ERROR")
	testutil.Equal(t, c.Log.JSON, true)
	testutil.Equal(t, c.Join.LAN, []string{"one", "two", "three", "four", "five"})
	testutil.Equal(t, c.Node.Meta, map[string]string{"rack": "r1", "row": "b", "zone": "z1"})
	testutil.Equal(t, c.Files, []string{first, second})
}

func TestLoad_Dir(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"20.json": "# Consul allows this\n{\"node_name\": \"late\"}", "10.yml": "node_name: early\ndata_dir: /d",
		"notes.txt": "this is no configuration", "old.hcl": "x = 1", ".hidden.yaml": "bogus: 1",
	} {
		testutil.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	c := load(t, "-config-dir", dir)
	testutil.Equal(t, c.Node.Name, "late")
	testutil.Equal(t, len(c.Warnings), 2) // notes.txt and old.hcl
	for _, w := range c.Warnings {
		if !strings.Contains(w, "is skipped") {
			t.Errorf("warning %q", w)
		}
	}
}

func TestLoad_LocalConfigVariable(t *testing.T) {
	src := sources(t, []string{`CONSUL_LOCAL_CONFIG={"datacenter":"dc7","skip_leave_on_interrupt":true}`}, "-data-dir", "/d")
	c, err := config.Load(src)
	testutil.NoError(t, err)
	testutil.Equal(t, c.Node.Datacenter, "dc7")
	testutil.Equal(t, c.Leave.OnInterrupt, false)
}

func TestLoad_Errors(t *testing.T) {
	for name, x := range map[string]struct{ text, want string }{
		"unknown key":       {"data_dir: /d\nbind_adr: 10.0.0.1\n", "c.yaml:2: invalid config key bind_adr, did you mean bind_addr?"},
		"in a section":      {"dns_config:\n  node_tl: 3s\n", "c.yaml:2: invalid config key dns_config.node_tl, did you mean node_ttl?"},
		"in another place":  {"raft_multiplier: 3\n", "c.yaml:1: invalid config key raft_multiplier, did you mean performance.raft_multiplier?"},
		"nothing like it":   {"frobnicate: 3\n", "c.yaml:1: invalid config key frobnicate"},
		"in a service":      {"services:\n- name: web\n  prot: 80\n", "c.yaml:3: invalid config key services[0].prot, did you mean port?"},
		"not a number":      {"ports:\n  http: many\n", `c.yaml:2: ports.http: "many" is not a whole number`},
		"no unit":           {"retry_interval: 30\n", `c.yaml:1: retry_interval: "30" has no unit: write for example "30s"`},
		"bad duration":      {"retry_interval: soon\n", `c.yaml:1: retry_interval: "soon" is not a duration such as "10s" or "5m"`},
		"twice":             {"server: true\nserver: false\n", "c.yaml:2: server is given twice, first in line 1"},
		"a list for a word": {"node_name: [a, b]\n", "c.yaml:1: node_name is a single value, this is a list"},
		"a word for a map":  {"ports: 8500\n", `c.yaml:1: ports is a section with keys of its own, this is the value "8500"`},
		"not a mapping":     {"- a\n", "c.yaml:1: a configuration file is a mapping of keys to values, this is a list"},
		"syntax":            {"node_name: \"x\ndata_dir: [\n", "c.yaml:"},
		"more follows":      {"{\"server\": true}}\n", "c.yaml: did not find expected <document start>"},
		"two documents":     {"node_name: x\n---\nnode_name: y\n", "c.yaml:3: a second document starts here; a configuration file is one"},
		"hcl":               {"data_dir = \"/d\"\n", "this looks like HCL: write it as YAML or JSON"},
		"data dir":          {"server: true\n", "data_dir cannot be empty: set data_dir, or use -dev to keep nothing"},
		"bootstrap client":  {"data_dir: /d\nbootstrap_expect: 3\n", "bootstrap and bootstrap_expect need server: set server = true or remove them"},
		"bootstrap twice":   {"data_dir: /d\nserver: true\nbootstrap: true\nbootstrap_expect: 3\n", "bootstrap and bootstrap_expect are mutually exclusive: keep bootstrap_expect"},
		"datacenter":        {"data_dir: /d\ndatacenter: a b\n", `datacenter: "a b" must be lower-case letters, digits, - and _`},
		"alt domain":        {"data_dir: /d\nalt_domain: service.corp\n", `alt_domain: "service.corp": the label "service" has a meaning in DNS names of the catalog`},
		"key length":        {"data_dir: /d\nencrypt: aGFsbG8=\n", "encrypt: the key has 5 bytes instead of 16, 24 or 32: make one with `berth keygen`"},
		"key":               {"data_dir: /d\nencrypt: '%%'\n", "encrypt: the key is not base64: make one with `berth keygen`"},
		"same port":         {"data_dir: /d\nports: {http: 8300}\n", "ports.server: port 8300 is also that of ports.http"},
		"port":              {"data_dir: /d\nports: {http: 0}\n", "ports.http: 0 is not a port"},
		"multiplier":        {"data_dir: /d\nperformance: {raft_multiplier: 11}\n", "performance.raft_multiplier: 11 is not within 1 to 10"},
		"log level":         {"data_dir: /d\nlog_level: loud\n", `log_level: "LOUD" is not one of TRACE, DEBUG, INFO, WARN, ERROR`},
		"bind":              {"data_dir: /d\nbind_addr: here\n", `bind_addr: "here" is not an IP address`},
		"template":          {"data_dir: /d\nbind_addr: '{{ broken }}'\n", `bind_addr: template "{{ broken }}": unknown function`},
		"cidr":              {"data_dir: /d\nserf_lan_allowed_cidrs: [10.0.0.0/99]\n", `serf_lan_allowed_cidrs: "10.0.0.0/99" is not a network such as 10.0.0.0/8`},
		"recursor":          {"data_dir: /d\nrecursors: [dns.corp]\n", `recursors: "dns.corp" is not an IP address, with :port if it is not 53`},
		"recursor port":     {"data_dir: /d\nrecursors: ['10.0.0.2:0']\n", `recursors: "10.0.0.2:0" is not an IP address, with :port if it is not 53`},
		"default upstreams": {"data_dir: /d\ndns_config: {upstreams: [{domain: x, servers: ['#', 10.0.0.2]}]}\n", `dns_config.upstreams.x: "#" is not an IP address`},
		"all upstreams":     {"data_dir: /d\ndns_config: {upstreams: [{domain: ., servers: [10.0.0.2]}]}\n", `dns_config.upstreams..: "." is not a domain name`},
		"local zone":        {"data_dir: /d\ndns_config: {local_zones: [a..b]}\n", `dns_config.local_zones: "a..b" is not a domain name`},
		"host name":         {"data_dir: /d\ndns_config: {static: {hosts: {'a b': [10.0.0.1]}}}\n", `dns_config.static.hosts: "a b" is not a domain name`},
		"alias":             {"data_dir: /d\ndns_config: {static: {cnames: {a: b c}}}\n", `dns_config.static.cnames: "b c" is not a domain name`},
		"srv target":        {"data_dir: /d\ndns_config: {static: {srv: [{name: _a._tcp, target: .b}]}}\n", `dns_config.static.srv[0]: ".b" is not a domain name`},
		"docker":            {"data_dir: /d\nregistrator: {docker: 'foo:bar:baz'}\n", `registrator.docker: "foo:bar:baz" is not an endpoint: use unix:///path, tcp://host:port, auto, or off for no Docker`},
		"docker port":       {"data_dir: /d\nregistrator: {docker: 'tcp://foo:bar'}\n", `registrator.docker: "tcp://foo:bar" is not an endpoint`},
		"docker by ssh":     {"data_dir: /d\nregistrator: {docker: 'ssh://foo'}\n", `registrator.docker: "ssh://foo": ssh is not supported, forward the socket`},
		"meta":              {"data_dir: /d\nnode_meta: {consul-x: y}\n", `node_meta: key "consul-x": the prefix consul- is reserved`},
		"service id":        {"data_dir: /d\nservices: [{name: a, port: 1}, {name: a, port: 2}]\n", `services[1] "a": another service has the ID "a": give each its own id`},
		"service name":      {"data_dir: /d\nservice: {port: 1}\n", `services[0] "": name is missing`},
		"check kind":        {"data_dir: /d\nservice: {name: a, check: {interval: 10s}}\n", `services[0] "a": checks[0]: TTL must be > 0 for TTL checks`},
		"check interval":    {"data_dir: /d\nservice: {name: a, check: {http: 'http://x'}}\n", "Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"},
		"check both":        {"data_dir: /d\nservice: {name: a, check: {ttl: 10s, interval: 10s}}\n", "Interval and TTL cannot both be specified"},
		"watch type":        {"data_dir: /d\nwatches: [{type: moon, args: [x]}]\n", `watches[0]: type "moon": use checks, event, key, keyprefix, nodes, service, services`},
		"watch key":         {"data_dir: /d\nwatches: [{type: key, args: [x]}]\n", "watches[0]: a watch of type key needs key"},
		"watch args":        {"data_dir: /d\nwatches: [{type: nodes}]\n", "watches[0]: args is missing: the command to run"},
		"provider":          {"data_dir: /d\nretry_join: ['provider=aws tag_key=x']\n", "cloud providers are not asked"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Load(sources(t, nil, "-config-file", write(t, "c.yaml", x.text)))
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Fatalf("got  %v\nwant %s", err, x.want)
			}
		})
	}
}

func TestLoad_EmptySecondDocument(t *testing.T) {
	_, err := config.Load(sources(t, nil, "-dev", "-config-file", write(t, "c.yaml", "---\nnode_name: x\n...\n---\n# end\n")))
	testutil.NoError(t, err)
}

func TestLoad_EndlessFile(t *testing.T) {
	_, err := config.Load(sources(t, nil, "-dev", "-config-file", "/dev/zero"))
	if err == nil || !strings.Contains(err.Error(), "/dev/zero: more than 16 MiB are too much for a configuration file") {
		t.Fatalf("got %v", err)
	}
}

func TestLoad_AllProblemsAtOnce(t *testing.T) {
	_, err := config.Load(sources(t, nil, "-config-file", write(t, "c.yaml", "bogus: 1\nports: {http: x}\nwrong: 2\n")))
	var all *config.Error
	if !errors.As(err, &all) || len(all.Problems) != 3 {
		t.Fatalf("want three problems, got %v", err)
	}
	_, err = config.Load(sources(t, nil, "-datacenter", "A B", "-log-level", "loud"))
	if !errors.As(err, &all) || len(all.Problems) != 4 { // data_dir, both datacenters, log_level
		t.Fatalf("want four problems, got %v", err)
	}
}

func TestLoad_Dev(t *testing.T) {
	c := load(t, "-dev")
	testutil.Equal(t, c.Addrs.Bind.String(), "127.0.0.1")
	testutil.Equal(t, c.Addrs.Advertise.String(), "127.0.0.1")
	testutil.Equal(t, c.Server, config.Server{Enabled: true, BootstrapExpect: 1})
	testutil.Equal(t, c.Node.DataDir, "")
	testutil.Equal(t, c.Addrs.DNS, []string{"127.0.0.1:8600"})
	testutil.Equal(t, len(c.Addrs.DNSOptional), 0)
	testutil.Equal(t, c.HTTP.UI, true)
	testutil.Equal(t, c.Log.Level, "INFO")
	c = load(t, "-dev", "-bootstrap-expect=3", "-dns-port", "18600", "--http-port=18500")
	testutil.Equal(t, c.Server.BootstrapExpect, 3)
	testutil.Equal(t, c.Addrs.DNS, []string{"127.0.0.1:18600"})
	testutil.Equal(t, c.Addrs.HTTP, []string{"127.0.0.1:18500"})
}

func TestLoad_DNSAddresses(t *testing.T) {
	for name, x := range map[string]struct {
		args     []string
		low      bool
		dns, opt []string
	}{
		"default":        {nil, true, []string{"127.0.0.1:8600"}, []string{"127.0.0.1:53", "[::1]:53", "172.17.0.1:53", "10.1.2.3:53"}},
		"no low ports":   {nil, false, []string{"127.0.0.1:8600"}, nil},
		"port":           {[]string{"-dns-port", "53"}, true, []string{"127.0.0.1:53"}, nil},
		"off":            {[]string{"-dns-port", "-1"}, true, nil, nil},
		"client address": {[]string{"-client", "10.1.2.3 ::1"}, false, []string{"10.1.2.3:8600", "[::1]:8600"}, nil},
		"own address":    {[]string{"-config", "addresses: {dns: 10.1.2.3}"}, true, []string{"10.1.2.3:8600"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			src := sources(t, nil, append([]string{"-data-dir", "/d"}, x.args...)...)
			h := oneNIC
			h.low = x.low
			src.Host = h
			c, err := config.Load(src)
			testutil.NoError(t, err)
			testutil.Equal(t, c.Addrs.DNS, x.dns)
			testutil.Equal(t, c.Addrs.DNSOptional, x.opt)
		})
	}
	src := sources(t, nil, "-data-dir", "/d")
	src.Host = host{low: true, addrs: []config.HostAddr{addr("eth0", "10.1.2.3")}} // docker comes later
	c, err := config.Load(src)
	testutil.NoError(t, err)
	testutil.Equal(t, c.Addrs.DNSOptional, []string{"127.0.0.1:53", "[::1]:53", "docker0:53", "10.1.2.3:53"})
}

func TestLoad_AdvertiseAddress(t *testing.T) {
	two := []config.HostAddr{addr("eth0", "10.1.2.3"), addr("eth1", "192.168.7.7")}
	for name, x := range map[string]struct {
		addrs []config.HostAddr
		args  []string
		want  string // or
		err   string
	}{
		"only private one, bridges aside": {oneNIC.addrs, nil, "10.1.2.3", ""},
		"only a public one":               {[]config.HostAddr{addr("eth0", "192.0.2.2"), addr("docker0", "172.17.0.1")}, nil, "192.0.2.2", ""},
		"private before public":           {[]config.HostAddr{addr("eth0", "8.8.4.4"), addr("eth1", "10.0.0.1")}, nil, "10.0.0.1", ""},
		"several":                         {two, nil, "", "this host has several private IPv4 addresses (10.1.2.3, 192.168.7.7): set bind_addr or advertise_addr"},
		"several, bound":                  {two, []string{"-bind", "192.168.7.7"}, "192.168.7.7", ""},
		"several, advertised":             {two, []string{"-advertise", "10.1.2.3"}, "10.1.2.3", ""},
		"several, -dev on all":            {two, []string{"-dev", "-bind", "0.0.0.0"}, "127.0.0.1", ""},
		"none":                            {nil, nil, "", "this host has no IPv4 address besides loopback"},
		"template":                        {two, []string{"-advertise", `{{ GetInterfaceIP "eth0" }}`}, "10.9.8.7", ""},
		"wildcard":                        {two, []string{"-advertise", "0.0.0.0"}, "", "advertise_addr: 0.0.0.0 is not an address that others can reach"},
	} {
		t.Run(name, func(t *testing.T) {
			src := sources(t, nil, append([]string{"-data-dir", "/d"}, x.args...)...)
			src.Host = host{addrs: x.addrs}
			c, err := config.Load(src)
			if x.err != "" {
				if err == nil || !strings.Contains(err.Error(), x.err) {
					t.Fatalf("got  %v\nwant %s", err, x.err)
				}
				return
			}
			testutil.NoError(t, err)
			testutil.Equal(t, c.Addrs.Advertise.String(), x.want)
		})
	}
}

// The address of a second family is told besides the main one and never takes its place.
func TestLoad_AdvertiseSecondFamily(t *testing.T) {
	environ := []string{"BERTH_ADVERTISE_ADDR_IPV6=fd00::2", "BERTH_ADVERTISE_ADDR_WAN_IPV6=fd00::3", "BERTH_ADVERTISE_ADDR_IPV4=10.9.9.9"}
	for bind, want := range map[string][2]string{
		"0.0.0.0":  {"10.9.9.9", "10.9.9.9"},
		"10.1.2.3": {"10.9.9.9", "10.9.9.9"},
		"fd00::1":  {"fd00::2", "fd00::3"},
	} {
		c, err := config.Load(sources(t, environ, "-data-dir", "/d", "-bind", bind))
		testutil.NoError(t, err)
		testutil.Equal(t, [2]string{c.Addrs.Advertise.String(), c.Addrs.AdvertiseWAN.String()}, want)
	}
	c, err := config.Load(sources(t, environ[:2], "-data-dir", "/d"))
	testutil.NoError(t, err)
	testutil.Equal(t, c.Addrs.Advertise.String(), "10.1.2.3")
	testutil.Equal(t, c.Node.TaggedAddresses["lan_ipv6"], "fd00::2")
}

func TestLoad_LeaveDefaults(t *testing.T) {
	client := load(t, "-data-dir", "/d")
	testutil.Equal(t, client.Leave, config.Leave{OnTerminate: true, OnInterrupt: true, DrainTime: 5 * time.Second})
	server := load(t, "-data-dir", "/d", "-server")
	testutil.Equal(t, server.Leave, config.Leave{DrainTime: 5 * time.Second})
}

func TestLoad_Warnings(t *testing.T) {
	for text, want := range map[string]string{
		"connect: {enabled: true}":           "c.yaml:2: connect is ignored: there is no service mesh",
		"ports: {grpc: 8502}":                "c.yaml:2: ports.grpc is ignored: there is no gRPC API",
		"services: [{name: a, connect: {}}]": "c.yaml:2: services[0].connect is ignored: there is no service mesh",
		"service: {name: a, proxy: {}}":      "c.yaml:2: service.proxy is ignored: there is no service mesh",
		"telemetry: {circonus_api_token: x}": "c.yaml:2: telemetry.circonus_api_token is ignored: metrics go to Prometheus, statsd or DogStatsD",
		"node_name: a_b":                     `node_name "a_b" will not resolve by DNS: it has characters other than letters, digits and -`,
		"checks: [{name: up, ttl: 1s, service_id: webb}]\nservice: {name: web}":                                          `checks[0] "up": no service of the configuration has the ID "webb": the check waits until one is registered`,
		"services: [{name: a, check: {id: up, ttl: 1s}}, {name: b, check: {id: up, ttl: 1s}}]":                           `services[1] "b": another check has the ID "up", and only one of them counts: give each its own id`,
		"service: {name: a, check: {id: up, ttl: 1s}}\nchecks: [{name: up, ttl: 1s}, {name: b, ttl: 1s, service_id: a}]": `checks[0]: another check has the ID "up"`,
		"raft_logstore: {backend: boltdb}": "raft_logstore.backend = boltdb is ignored: the log store is the WAL",
	} {
		t.Run(text, func(t *testing.T) {
			c := load(t, "-config-file", write(t, "c.yaml", "data_dir: /d\n"+text+"\n"))
			if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], want) {
				t.Errorf("got %q, want %q", c.Warnings, want)
			}
		})
	}
	c := load(t, "-data-dir", "/d", "-server", "-bootstrap-expect", "2", "-grpc-port", "8502")
	testutil.Equal(t, len(c.Warnings), 2)
	src := sources(t, []string{"BERTH_DATA_DIRR=x", "BERTH_HTTP_ADDR=a:1", "BERTH_REQUIRE_DOCKER=1"}, "-dev")
	c, err := config.Load(src)
	testutil.NoError(t, err)
	testutil.Equal(t, c.Warnings, []string{"environment variable BERTH_DATA_DIRR is not known, did you mean BERTH_DATA_DIR?"})
}

func TestLoad_RegistratorProfiles(t *testing.T) {
	fs := flag.NewFlagSet("registrator", flag.ContinueOnError)
	f := config.RegistratorFlags(fs)
	testutil.NoError(t, fs.Parse([]string{"-internal", "-resync", "60", "-retry-interval", "500", "-useIpFromLabel", "ip", "-tags", "a,b", "-dev"}))
	src := f.Sources(nil)
	src.Host = oneNIC
	c, err := config.Load(src)
	testutil.NoError(t, err)
	r := c.Registrator
	testutil.Equal(t, r.Profile, "registrator")
	testutil.Equal(t, []any{r.Addrs.Mode, r.Addrs.UseIPFromLabel, r.Addrs.Loopback, r.Names.Tags, r.Names.DefaultName},
		[]any{"internal", "ip", "host", "a,b", "image"})
	testutil.Equal(t, []any{r.Runs.Resync, r.Runs.DeregisterOnStop}, []any{time.Minute, false})
	testutil.Equal(t, c.Warnings, []string{"registrator.retry_interval is ignored: the pauses grow from 0.1 s to 10 s"})
	native := load(t, "-dev", "-docker-resync", "90s", "-config", "registrator: {address_mode: auto}").Registrator
	testutil.Equal(t, []any{native.Runs.Resync, native.Addrs.Mode, native.Addrs.Loopback}, []any{90 * time.Second, "auto", "skip"})
}

func TestConfig_ReloadReadsTheFilesAgain(t *testing.T) {
	name := write(t, "c.yaml", "data_dir: /d\nlog_level: info\n")
	c := load(t, "-config-file", name)
	testutil.NoError(t, os.WriteFile(name, []byte("data_dir: /d\nlog_level: debug\n"), 0o600))
	again, err := c.Reload()
	testutil.NoError(t, err)
	testutil.Equal(t, again.Log.Level, "DEBUG")
	testutil.Equal(t, c.Log.Level, "INFO")
	testutil.Equal(t, c.NeedsRestart(again), []string(nil))
	testutil.NoError(t, os.WriteFile(name, []byte("data_dir: /e\nports: {http: 8555}\nservice: {name: a}\n"), 0o600))
	again, err = c.Reload()
	testutil.NoError(t, err)
	testutil.Equal(t, c.NeedsRestart(again), []string{"data_dir", "ports.http"})
}

func TestFlags_ValuesMayHoldCommas(t *testing.T) {
	c := load(t, "-dev", "-node-meta", "what:a,b=c", "-docker-tags", "x,y")
	testutil.Equal(t, c.Node.Meta, map[string]string{"what": "a,b=c"})
	testutil.Equal(t, c.Registrator.Names.Tags, "x,y")
}

func TestConfig_DebugHidesSecrets(t *testing.T) {
	c := load(t, "-dev", "-encrypt", "MDEyMzQ1Njc4OTAxMjM0NQ==", "-config", "acl: {tokens: {default: s3cret}}")
	text, err := json.Marshal(c.Debug())
	testutil.NoError(t, err)
	for _, secret := range []string{"MDEyMzQ1Njc4", "s3cret"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%q is shown in %s", secret, text)
		}
	}
	testutil.Equal(t, c.Debug()["DNSAddrs"], []string{"tcp://127.0.0.1:8600", "udp://127.0.0.1:8600"})
	testutil.Equal(t, c.Gossip.Encrypt, "MDEyMzQ1Njc4OTAxMjM0NQ==")
}

func TestReference_IsCurrent(t *testing.T) {
	text, err := os.ReadFile("../../docs/config.md")
	testutil.NoError(t, err)
	if string(text) != config.Reference() {
		t.Error("docs/config.md is out of date: run `go run ./cmd/berth docs config > docs/config.md`")
	}
}

func TestLoad_DCIsDatacenter(t *testing.T) {
	for _, flag := range []string{"-dc", "-datacenter"} {
		testutil.Equal(t, load(t, "-dev", flag, "dc7").Node.Datacenter, "dc7")
	}
}
