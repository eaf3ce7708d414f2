package registrator

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What the author of a container may write, to harm others or the daemon.

// ids are the service IDs that are registered, and reasons those why ports are not.
func ids(b built) (ids []string, reasons string) {
	for _, in := range b.instances {
		ids = append(ids, in.def.ID)
	}
	for _, p := range b.ports {
		reasons += p.Reason + " " + p.Detail + "\n"
	}
	return ids, reasons
}

func TestHostile_ClusterServiceIsNotToBeHad(t *testing.T) {
	for _, profile := range []string{ProfileNative, ProfileRegistrator} {
		r := testRegistrator(t, func(c *Config) { c.Profile = profile })
		for _, lines := range []string{"label SERVICE_NAME=consul", "label SERVICE_80_NAME=Consul", "image progrium/consul:1", "label SERVICE_ID=consul",
			"label SERVICE_NAME=x\nlabel SERVICE_80_ID= consul "} {
			got, why := ids(buildIt(r, parse(t, "publish 1000>80/tcp\n"+lines)))
			if len(got) > 0 || !strings.Contains(why, "own server") {
				t.Errorf("%s: %q registers %q (%s)", profile, lines, got, why)
			}
		}
	}
}

func TestHostile_NamesAndIDsOfOddCharacters(t *testing.T) {
	for _, profile := range []string{ProfileNative, ProfileRegistrator} {
		r := testRegistrator(t, func(c *Config) { c.Profile = profile })
		for _, odd := range []string{"a\x00b", "a\nb", "a\u0085b", strings.Repeat("x", 4000), "\u202e\u202d", "../../etc", "a.b/c", "ÄÖ\U0001f600", " ", ","} {
			c := parse(t, "publish 1000>80/tcp")
			c.labels["SERVICE_NAME"], c.labels["SERVICE_ID"], c.labels["SERVICE_META_"+odd] = odd, odd, odd
			for _, in := range buildIt(r, c).instances {
				if hasControl(in.def.Name) || hasControl(in.def.ID) || len(in.def.Name) > maxLegacyName || len(in.def.ID) > maxIDBytes {
					t.Errorf("%s: %q becomes name %q, ID %q", profile, odd, in.def.Name, in.def.ID)
				}
				for k := range in.def.Meta {
					if metaKey(k) != k || k == "" {
						t.Errorf("metadata key %q", k)
					}
				}
			}
		}
	}
}

// Everything that a container gets is within bounds, and building it takes no time to speak of.
func TestHostile_EverythingAtOnce(t *testing.T) {
	c := parse(t, "network bridge 172.17.0.2")
	for p := 1; p <= 65535; p++ {
		c.ports[portProto{p, "tcp"}] = nil
		c.exposed = append(c.exposed, portProto{p, "tcp"}, portProto{p, "udp"})
	}
	for i := range 20 {
		c.labels[fmt.Sprintf("SERVICE_M%d_SECRET", i)] = strings.Repeat("$S", 250)
		c.env = append(c.env, fmt.Sprintf("SERVICE_E%d_SECRET=%s", i, strings.Repeat("x", 1000)))
	}
	names := ""
	for i := range 500 {
		names += fmt.Sprintf("n%d,", i)
	}
	c.labels["SERVICE_NAME"], c.labels["SERVICE_TAGS"] = names, strings.Repeat("$SERVICE_IX,", 300)
	c.labels["SERVICE_ADDRESS"] = "iface:lo"
	for n := 2; n <= 9; n++ {
		c.labels[fmt.Sprintf("SERVICE_CHECK_%d_TCP", n)] = "true"
	}
	c.labels["SERVICE_CHECK_HTTP"], c.labels["SERVICE_CHECK_TIMEOUT"] = strings.Repeat("/$SERVICE_ID", 300), "9999h"
	for _, mode := range []string{"iface:lo", "172.17.0.2", ""} {
		c.labels["SERVICE_ADDRESS"] = mode
		r := testRegistrator(t, func(c *Config) { c.AddressMode = AddressInternal })
		began := time.Now()
		b := buildIt(r, c)
		t.Logf("%q: %d instances, %d ports in %v", mode, len(b.instances), len(b.ports), time.Since(began))
		bytes, checks := 0, 0
		for _, in := range b.instances {
			for _, tag := range in.def.Tags {
				bytes += len(tag)
			}
			for _, v := range in.def.Meta {
				bytes += len(v)
			}
			checks += len(in.def.Checks)
			for _, ch := range in.def.Checks {
				if ch.Timeout.D() > time.Hour {
					t.Fatalf("timeout %v", ch.Timeout)
				}
			}
		}
		if bytes > maxDefsBytes || checks > maxChecks || len(b.instances) > maxPorts || len(b.ports) > maxPorts*maxNames || len(b.dropped) > 3*maxKeys {
			t.Errorf("%d bytes, %d checks, %d instances, %d ports, %d remarks", bytes, checks, len(b.instances), len(b.ports), len(b.dropped))
		}
	}
}

func TestHostile_SecretsStayOut(t *testing.T) {
	c := parse(t, `publish 1000>80/tcp
		env SERVICE_DB_PWD=hunter2
		env SERVICE_DATABASE=postgres://app:hunter2@db/app
		env SERVICE_DSN=host=db password=hunter2 user=x
		env SERVICE_CERT=-----BEGIN PRIVATE KEY-----hunter2
		env SERVICE_AWS_ACCESS_KEY=hunter2
		env SERVICE_80_APIKEY=hunter2
		env SERVICE_MYSQL=app:hunter2@tcp(db:3306)/app
		env SERVICE_KEY=hunter2
		env SERVICE_SESSION=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.hunter2
		env SERVICE_AWS=AKIAHUNTER2HUNTER2HU/hunter2
		env SERVICE_GIT=ghp_hunter2hunter2hunter2
		env SERVICE_PAY=sk_live_hunter2hunter2
		env SERVICE_WEIGHT=hunter2
		env SERVICE_BASE=redis:7@sha256:0123
		env SERVICE_CHECK_HTTP=/
		env SERVICE_CHECK_HEADER={"Authorization":"Bearer hunter2"
		env SERVICE_URL=https://shop.example/a:b@c`)
	b := buildIt(testRegistrator(t, nil), c)
	for k, v := range b.instances[0].def.Meta {
		if strings.Contains(v, "hunter2") && k != "weight" {
			t.Errorf("metadata %s=%s", k, v)
		}
	}
	for _, k := range []string{"url", "base"} {
		if b.instances[0].def.Meta[k] == "" {
			t.Errorf("the harmless %s is not exported", k)
		}
	}
	if text := strings.Join(b.dropped, "\n"); strings.Contains(text, "hunter2") {
		t.Errorf("the report shows a secret:\n%s", text)
	}
}

func TestHostile_AddressesOfOthers(t *testing.T) {
	r := testRegistrator(t, func(c *Config) { c.UseIPFromLabel = "ip" })
	for _, ip := range []string{"127.0.0.1", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "::ffff:127.0.0.1", "localhost", "metadata.google.internal"} {
		for _, key := range []string{"SERVICE_IP", "SERVICE_ADDRESS", "ip"} {
			b := buildIt(r, parse(t, "publish 1000>80/tcp\nlabel "+key+"="+ip))
			if len(b.instances) != 1 || b.instances[0].def.Address != "192.0.2.1" {
				t.Errorf("%s=%s: %+v", key, ip, b.instances)
			}
		}
	}
}

func TestHostile_WeightsAreValid(t *testing.T) {
	r := testRegistrator(t, nil)
	for _, w := range []string{"0", "-1", "65536", "1e3", "99999999999999999999"} {
		b := buildIt(r, parse(t, "publish 1000>80/tcp\nlabel SERVICE_WEIGHT="+w))
		if len(b.instances) != 1 || b.instances[0].def.Weights != nil || len(b.dropped) != 1 {
			t.Errorf("weight %s: %+v, dropped %q", w, b.instances[0].def.Weights, b.dropped)
		}
	}
}

func TestHostile_DrainIsBounded(t *testing.T) {
	b := buildIt(testRegistrator(t, nil), parse(t, "publish 1000>80/tcp\nlabel SERVICE_DRAIN=100000h"))
	if b.drain > time.Hour {
		t.Errorf("drain %v", b.drain)
	}
}

// recordOf is an up container's record with its definitions.
func recordOf(t *testing.T, r *Registrator, id, lines string, started time.Time) *record {
	c := parse(t, lines)
	c.id, c.state.started = strings.Repeat(id, 64), started
	rec := r.state.record(c.id)
	rec.name, rec.up, rec.phase = c.name, c, phaseUp
	rec.built = buildIt(r, c)
	rec.defs = r.define(rec)
	return rec
}

// A label cannot take the ID that another container has by its name.
func TestHostile_IDOfAnotherContainer(t *testing.T) {
	r := testRegistrator(t, nil)
	recordOf(t, r, "a", "name victim\nimage shop\npublish 1000>80/tcp", time.Unix(1, 0))
	thief := recordOf(t, r, "b", "name thief\nimage evil\npublish 1001>80/tcp\nlabel SERVICE_ID=host:victim:80", time.Unix(2, 0))
	set := r.desired()
	if len(set) != 1 || set[0].Name != "shop" {
		t.Fatalf("registered: %+v", set)
	}
	if thief.lost["host:victim:80"] != "victim" {
		t.Errorf("the other one is not told: %v", thief.lost)
	}
}

// A service ID that ends in the number of another service's check must not replace that check.
func TestHostile_CheckIDsDoNotMeet(t *testing.T) {
	r := testRegistrator(t, nil)
	recordOf(t, r, "a", "name victim\npublish 1000>80/tcp\nlabel SERVICE_CHECK_TCP=1\nlabel SERVICE_CHECK_2_HTTP=/x", time.Unix(1, 0))
	recordOf(t, r, "b", "name thief\npublish 1001>80/tcp\nlabel SERVICE_ID=host:victim:80:2\nlabel SERVICE_CHECK_TCP=1", time.Unix(2, 0))
	seen := map[string]string{}
	for _, d := range r.desired() {
		for _, c := range d.Checks {
			if seen[c.ID] != "" {
				t.Errorf("check %s is of %s and of %s", c.ID, seen[c.ID], d.ID)
			}
			seen[c.ID] = d.ID
		}
	}
	if seen["service:host:victim:80:2"] != "host:victim:80" {
		t.Errorf("checks: %v", seen)
	}
}

// Labels shown among an event's attributes are not the event's.
func TestHostile_LabelsAsEventAttributes(t *testing.T) {
	c := parse(t, "label exitCode=0\nlabel signal=9")
	if !c.shadows("exitCode") || !c.shadows("signal") || c.shadows("other") {
		t.Error("labels named like attributes go unnoticed")
	}
}
