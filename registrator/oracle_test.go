package registrator

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

// oracle is what gliderlabs/registrator makes of a container, written down from its described
// behaviour. Known deviations, which are repairs: an ID for several ports is told apart, a
// user-defined network keeps the host's address, metadata is filtered.
func oracle(c *inspected, internal, explicit bool) []string {
	type meta struct {
		value string
		port  bool
	}
	read := func(port string) (map[string]meta, bool) {
		m := map[string]meta{}
		var pairs []string
		pairs = append(pairs, c.env...)
		var names []string
		for k := range c.labels {
			names = append(names, k)
		}
		sort.Strings(names)
		for _, k := range names {
			pairs = append(pairs, k+"="+c.labels[k])
		}
		for _, kv := range pairs {
			k, v, _ := strings.Cut(kv, "=")
			if !strings.HasPrefix(k, "SERVICE_") || len(k) == len("SERVICE_") {
				continue
			}
			key := strings.ToLower(strings.TrimPrefix(k, "SERVICE_"))
			num, rest, ok := strings.Cut(key, "_")
			_, err := strconv.Atoi(num)
			if ok && rest != "" && err == nil {
				if num == port {
					m[rest] = meta{value: v, port: true}
				}
				continue
			}
			if !m[key].port {
				m[key] = meta{value: v}
			}
		}
		return m, m["name"].port
	}
	ports := sortedPorts(func() map[portProto]bool {
		s := map[portProto]bool{}
		for p := range c.ports {
			if internal || len(c.ports[p]) > 0 {
				s[p] = true
			}
		}
		return s
	}())
	group := len(ports) > 1
	out := []string{}
	for _, p := range ports {
		m, portName := read(strconv.Itoa(p.port))
		if m["ignore"].value != "" {
			continue
		}
		name := m["name"].value
		if name == "" {
			if explicit {
				continue
			}
			name = strings.Split(c.image[strings.LastIndexByte(c.image, '/')+1:], ":")[0]
		}
		if group && !portName {
			name += "-" + strconv.Itoa(p.port)
		}
		id := "host:" + c.name + ":" + strconv.Itoa(p.port)
		if p.proto == "udp" {
			id += ":udp"
		}
		if v := m["id"]; v.value != "" {
			id = v.value
			if group && !v.port { // the repair
				id += ":" + strconv.Itoa(p.port)
				if p.proto == "udp" {
					id += ":udp"
				}
			}
		}
		var addr string
		if internal {
			addr = hostPort(c.networks[0].ip4.String(), p.port)
		} else {
			addr = hostPort("192.0.2.1", c.ports[p][0].port)
		}
		s := id + " " + name + " " + addr
		tags := splitList(m["tags"].value)
		if p.proto == "udp" {
			tags = append(tags, "udp")
		}
		if len(tags) > 0 {
			s += " tags=" + strings.Join(tags, ",")
		}
		var keys []string
		for k, v := range m {
			if k != "name" && k != "id" && k != "tags" && k != "ignore" && v.value != "" {
				keys = append(keys, k+"="+v.value)
			}
		}
		sort.Strings(keys)
		for _, k := range keys {
			s += " " + k
		}
		out = append(out, s)
	}
	sort.Strings(out)
	return out
}

// TestCompatOracle compares the registrator profile with the oracle on random containers.
func TestCompatOracle(t *testing.T) {
	seed := uint64(time.Now().UnixNano()) % 1e9
	n := 3000
	if s := os.Getenv("BERTH_ORACLE_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
		n = 1
	}
	for i := range n {
		rng := rand.New(rand.NewPCG(seed+uint64(i), 0))
		internal, explicit := rng.IntN(3) == 0, rng.IntN(3) == 0
		text := randomContainer(rng)
		c := parse(t, text)
		r := testRegistrator(t, func(cfg *Config) {
			cfg.Profile, cfg.Internal, cfg.Explicit = ProfileRegistrator, internal, explicit
		})
		want := oracle(c, internal, explicit)
		got := []string{}
		for _, s := range show(buildIt(r, c)) {
			if strings.Count(s, " ") >= 2 && strings.HasPrefix(s, "host:") || strings.HasPrefix(s, "my-id") {
				got = append(got, s)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("BERTH_ORACLE_SEED=%d internal=%v explicit=%v\n%s\ngot\n  %s\nwant\n  %s", seed+uint64(i), internal, explicit, text,
				strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
}

func randomContainer(rng *rand.Rand) string {
	pick := func(s ...string) string { return s[rng.IntN(len(s))] }
	var b strings.Builder
	fmt.Fprintf(&b, "name %s\nimage %s\nnetwork bridge 172.17.0.5\n", pick("web.1", "db"), pick("redis", "a/b/nginx:1.2", "h:5000/x"))
	ports := []string{"80/tcp", "443/tcp", "53/udp", "53/tcp"}
	for i, p := range ports {
		switch rng.IntN(3) {
		case 0:
			fmt.Fprintf(&b, "expose %s\n", p)
		case 1:
			fmt.Fprintf(&b, "publish %d>%s\n", 1000+i, p)
		}
	}
	seen := map[string]bool{}
	for range rng.IntN(8) {
		key := "SERVICE_" + pick("", "", "80_", "443_", "53_", "080_", "99_") + pick("NAME", "ID", "TAGS", "IGNORE", "REGION", "udp_x", "8000-9000_Y")
		val := pick("", "a", "b,c", `d\,e,f`, "true")
		if strings.HasSuffix(key, "ID") && val != "" {
			val = "my-id"
		}
		if up := strings.ToUpper(key); !seen[up] { // labels have no order among equals
			seen[up] = true
			fmt.Fprintf(&b, "%s %s=%s\n", pick("env", "label"), key, val)
		}
	}
	return b.String()
}
