package registrator

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"
)

func TestDNSName_OneHyphenForEachCharacter(t *testing.T) {
	for name, want := range map[string]string{
		"Bücher_Shop": "b-cher-shop", "日本web": "web", "a日本b": "a--b", "x\xff\xfey": "x--y", "ü": "unnamed",
		strings.Repeat("é", 70) + "z": "unnamed", strings.Repeat("a", 70): strings.Repeat("a", 63),
	} {
		b := &builder{r: testRegistrator(t, nil), keys: keyReader{settings: &settings{}}}
		if got := b.dnsName(name).dns; got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

// checksOf builds a container with one published port and the given lines, and returns its
// checks and what was dropped.
func checksOf(t *testing.T, change func(*Config), lines string) ([]*berth.CheckDefinition, string) {
	t.Helper()
	r := testRegistrator(t, change)
	b := buildIt(r, parse(t, "publish 1000>80/tcp\nlabel SERVICE_NAME=web\n"+lines))
	if len(b.instances) != 1 {
		t.Fatalf("%d instances: %+v", len(b.instances), b)
	}
	out := b.instances[0].def.Checks
	if b.instances[0].beat != nil {
		out = append(out, b.instances[0].beat)
	}
	return out, strings.Join(b.dropped, "\n")
}

func TestChecks(t *testing.T) {
	id := strings.Repeat("ab", 32)
	sec := func(n int) berth.Duration { return berth.Duration(time.Duration(n) * time.Second) }
	base := func(tg berth.CheckTarget) berth.CheckDefinition {
		if tg.Interval == 0 && tg.TTL == 0 {
			tg.Interval, tg.Timeout = sec(10), sec(10)
		}
		return berth.CheckDefinition{ID: "service:host:c:80", ServiceID: "host:c:80", Name: "Service 'web' check",
			StayOnHost: tg.HTTP != "", CheckTarget: tg}
	}
	allowAll := func(c *Config) { c.AllowScriptChecks, c.AllowForeignTargets = true, true }
	for name, tc := range map[string]struct {
		change func(*Config)
		lines  string
		want   berth.CheckDefinition
		none   string // no check, with this in the report
	}{
		"http":            {lines: "label SERVICE_80_CHECK_HTTP=/health\nlabel SERVICE_80_CHECK_HTTP_METHOD=HEAD", want: base(berth.CheckTarget{HTTP: "http://192.0.2.1:1000/health", Method: "HEAD"})},
		"http, no slash":  {lines: "env SERVICE_CHECK_HTTP=@evil/x", want: base(berth.CheckTarget{HTTP: "http://192.0.2.1:1000/@evil/x"})},
		"https":           {lines: "label SERVICE_CHECK_HTTPS=/h\nlabel SERVICE_CHECK_TLS_SKIP_VERIFY=1\nlabel SERVICE_CHECK_TLS_SERVER_NAME=x", want: base(berth.CheckTarget{HTTP: "https://192.0.2.1:1000/h", TLSSkipVerify: true, TLSServerName: "x"})},
		"http goes first": {lines: "label SERVICE_CHECK_TCP=true\nlabel SERVICE_CHECK_HTTP=/", want: base(berth.CheckTarget{HTTP: "http://192.0.2.1:1000/"})},
		"header and body": {lines: `label SERVICE_CHECK_HTTP=/
			label SERVICE_CHECK_HEADER={"A":["b","c"],"D":"e"}
			label SERVICE_CHECK_BODY=x
			label SERVICE_CHECK_DISABLE_REDIRECTS=true`, want: base(berth.CheckTarget{HTTP: "http://192.0.2.1:1000/", Body: "x", DisableRedirects: true, Header: map[string][]string{"A": {"b", "c"}, "D": {"e"}}})},
		"variables":           {lines: "label SERVICE_CHECK_HTTP=/$SERVICE_NAME/${CONTAINER_PORT}/$SERVICE_PORTX/$$SERVICE_IP/$OTHER", want: base(berth.CheckTarget{HTTP: "http://192.0.2.1:1000/web/80/1000X/$SERVICE_IP/$OTHER"})},
		"tcp":                 {lines: "label SERVICE_CHECK_TCP=true", want: base(berth.CheckTarget{TCP: "192.0.2.1:1000"})},
		"tcp other port":      {lines: "publish 1001>81/tcp\nlabel SERVICE_81_IGNORE=1\nlabel SERVICE_CHECK_TCP=1001", want: base(berth.CheckTarget{TCP: "192.0.2.1:1001"})},
		"tcp port of others":  {lines: "label SERVICE_CHECK_TCP=22", none: "not allowed here"},
		"tcp inside":          {lines: "network bridge 172.17.0.2\nlabel SERVICE_CHECK_TCP=172.17.0.2:9", want: base(berth.CheckTarget{TCP: "172.17.0.2:9"})},
		"metadata service":    {lines: "label SERVICE_IP=169.254.169.254\nlabel SERVICE_CHECK_HTTP=/latest/meta-data", want: base(berth.CheckTarget{HTTP: "http://192.0.2.1:1000/latest/meta-data"})},
		"other host":          {lines: "label SERVICE_IP=198.51.100.1\nlabel SERVICE_CHECK_HTTP=/x", want: base(berth.CheckTarget{HTTP: "http://192.0.2.1:1000/x"})},
		"own API":             {lines: "label SERVICE_IP=127.0.0.1\nlabel SERVICE_PORT=8500\nlabel SERVICE_CHECK_HTTP=/v1/agent/leave\nlabel SERVICE_CHECK_HTTP_METHOD=PUT", want: base(berth.CheckTarget{HTTP: "http://192.0.2.1:1000/v1/agent/leave", Method: "PUT"})},
		"port of the host":    {lines: "label SERVICE_PORT=22\nlabel SERVICE_CHECK_GRPC=true", want: base(berth.CheckTarget{GRPC: "192.0.2.1:1000"})},
		"threshold order":     {lines: "label SERVICE_CHECK_TCP=1\nlabel SERVICE_CHECK_FAILURES_BEFORE_WARNING=3", want: base(berth.CheckTarget{TCP: "192.0.2.1:1000"})},
		"tcp foreign":         {lines: "label SERVICE_CHECK_TCP=10.0.0.1:22", none: "not allowed here"},
		"tcp foreign allowed": {change: allowAll, lines: "label SERVICE_CHECK_TCP=10.0.0.1:22", want: base(berth.CheckTarget{TCP: "10.0.0.1:22"})},
		"tcp off":             {lines: "label SERVICE_CHECK_TCP=false", none: ""},
		"udp":                 {lines: "label SERVICE_CHECK_UDP=true", want: base(berth.CheckTarget{UDP: "192.0.2.1:1000"})},
		"grpc":                {lines: "label SERVICE_CHECK_GRPC=true\nlabel SERVICE_CHECK_GRPC_USE_TLS=true\nlabel SERVICE_CHECK_TLS_SKIP_VERIFY=yes", want: base(berth.CheckTarget{GRPC: "192.0.2.1:1000", GRPCUseTLS: true, TLSSkipVerify: true})},
		"grpc service":        {lines: "label SERVICE_CHECK_GRPC=my.Service", want: base(berth.CheckTarget{GRPC: "192.0.2.1:1000/my.Service"})},
		"ttl":                 {lines: "label SERVICE_CHECK_TTL=30", want: base(berth.CheckTarget{TTL: sec(30)})},
		"script":              {lines: "label SERVICE_CHECK_SCRIPT=x", none: "script checks on the host are off"},
		"script allowed": {change: allowAll, lines: `label SERVICE_CHECK_SCRIPT=curl -f "http://$SERVICE_IP:$SERVICE_PORT/a b" 'x y'`,
			want: base(berth.CheckTarget{ScriptArgs: []string{"curl", "-f", "http://192.0.2.1:1000/a b", "x y"}})},
		"exec":       {lines: "label SERVICE_CHECK_DOCKER=test -f /ok", want: base(berth.CheckTarget{DockerContainerID: id, ScriptArgs: []string{"/bin/sh", "-c", "test -f /ok"}})},
		"exec shell": {lines: "label SERVICE_CHECK_DOCKER=x\nlabel SERVICE_CHECK_SHELL=/bin/bash", want: base(berth.CheckTarget{DockerContainerID: id, ScriptArgs: []string{"/bin/bash", "-c", "x"}})},
		"exec argv":  {lines: "label SERVICE_CHECK_DOCKER=/app -probe '/a b'\nlabel SERVICE_CHECK_DOCKER_SHELL=none", want: base(berth.CheckTarget{DockerContainerID: id, ScriptArgs: []string{"/app", "-probe", "/a b"}})},
		"cmd":        {lines: "env SERVICE_CHECK_CMD=/check.sh", want: base(berth.CheckTarget{DockerContainerID: id, ScriptArgs: []string{"/bin/sh", "-c", "/check.sh"}})},
		"exec off":   {change: func(c *Config) { no := false; c.AllowExecChecks = &no }, lines: "label SERVICE_CHECK_DOCKER=x", none: "checks inside containers are off"},
		"timing":     {lines: "label SERVICE_CHECK_TCP=1\nlabel SERVICE_CHECK_INTERVAL=5\nlabel SERVICE_CHECK_DEREGISTER_AFTER=10s", want: base(berth.CheckTarget{TCP: "192.0.2.1:1000", Interval: sec(5), Timeout: sec(5), DeregisterCriticalServiceAfter: sec(60)})},
		"clamped":    {lines: "label SERVICE_CHECK_TCP=1\nlabel SERVICE_CHECK_INTERVAL=1ms\nlabel SERVICE_CHECK_TIMEOUT=30s", want: base(berth.CheckTarget{TCP: "192.0.2.1:1000", Interval: sec(1), Timeout: sec(30)})},
	} {
		t.Run(name, func(t *testing.T) {
			got, dropped := checksOf(t, tc.change, tc.lines)
			if tc.want.ID == "" {
				if len(got) != 0 || !strings.Contains(dropped, tc.none) {
					t.Fatalf("checks %+v, dropped %q", got, dropped)
				}
				return
			}
			if len(got) != 1 || !reflect.DeepEqual(*got[0], tc.want) {
				t.Fatalf("got  %+v\nwant %+v\ndropped %s", got[0], tc.want, dropped)
			}
		})
	}
}

func TestMoreChecks(t *testing.T) {
	got, _ := checksOf(t, nil, `label SERVICE_CHECK_TCP=true
		label SERVICE_CHECK_INITIAL_STATUS=passing
		label SERVICE_CHECK_NAME=first
		label SERVICE_CHECK_NOTES=why
		label SERVICE_CHECK_SUCCESS_BEFORE_PASSING=2
		label SERVICE_CHECK_FAILURES_BEFORE_CRITICAL=3
		label SERVICE_CHECK_3_HTTP=/x
		label SERVICE_CHECK_3_INTERVAL=2s`)
	if len(got) != 2 || got[1].ID != "service:host:c:80:3" || got[1].HTTP != "http://192.0.2.1:1000/x" || got[1].Interval.D() != 2*time.Second {
		t.Fatalf("second check: %+v", got)
	}
	c := got[0]
	if c.Status != "passing" || c.Name != "first" || c.Notes != "why" || c.SuccessBeforePassing != 2 || c.FailuresBeforeCritical != 3 {
		t.Fatalf("first check: %+v", c)
	}
	got, _ = checksOf(t, nil, "label SERVICE_CHECK_TTL=30s\nlabel SERVICE_CHECK_TTL_FROM=docker")
	if len(got) != 1 || !got[0].Passive || got[0].Type != berth.CheckTTL {
		t.Fatalf("TTL that docker beats: %+v", got)
	}
}

func TestConstraint(t *testing.T) {
	c := &inspected{name: "web-1", image: "reg:5000/shop/web:2", labels: map[string]string{"env": "prod", "empty": ""}}
	for expr, want := range map[string]bool{
		"": true, "label(env)=prod": true, "label(env)==dev": false, "label(env)!=dev": true, "label(none)": false, "label(empty)": true,
		"!label(none)": true, "image~*/shop/*": true, "image~redis*": false, "name~web-?": true, "name=web-1": true,
		"label(env)=prod && name~db*": false, "label(env)=dev || name~web*": true, "!(label(env)=prod && image~*web*)": false,
		"label(env)='prod' && (label(a)=b || label(empty)=\"\")": true, "label( env )=prod||label(x)": true,
	} {
		p, err := parseConstraint(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
		} else if got := p.match(c); got != want {
			t.Errorf("%s: %v", expr, got)
		}
	}
	for _, bad := range []string{"label(", "label(a)=b &&", "port=1", "(name=a", "name", "name=a b", "name~[", "label(a)='x", strings.Repeat("!", 200) + "label(a)"} {
		if _, err := parseConstraint(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestTagTemplates(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"zone":{"name":"z1"}}`)) }))
	defer srv.Close()
	type config struct {
		Hostname, Image string
		Env             []string
		Labels          map[string]string
	}
	dot := struct { // as much of an inspect as is used here
		ID, Name string
		Config   config
	}{"abc", "/web", config{"h", "a/b:1", []string{"A=1", "ZONE=x"}, map[string]string{"k": "v"}}}
	for text, want := range map[string]string{
		`{{.Name}}`: "/web", `{{.Config.Hostname}},x`: "h,x", `{{index .Config.Labels "k"}}`: "v", `{{mIndex "k" .Config.Labels}}`: "v",
		`{{strSlice .Name 1}}`: "web", `{{strSlice .Name 1 3}}`: "we", `{{strSlice .Name -2}}`: "eb", `{{strSlice .Name 9 2}}`: "",
		`{{sIndex -1 .Config.Env}}`: "ZONE=x", `{{sIndex 9 .Config.Env}}`: "ZONE=x", `{{toUpper .ID}}`: "ABC", `{{toLower "X"}}`: "x",
		`{{replace -1 "/" "-" .Config.Image}}`: "a-b:1", `{{join "+" .Config.Env}}`: "A=1+ZONE=x", `{{splitIndex 1 ":" .Config.Image}}`: "1",
		`{{matchFirstElement "^ZONE" .Config.Env}}`: "ZONE=x", `{{len (matchAllElements "=" .Config.Env)}}`: "2",
		`{{jsonParse (httpGet "` + srv.URL + `") "zone::name"}}`: "z1", `{{jsonParse (httpGet "http://127.0.0.1:1") "a"}}`: "",
	} {
		tt, err := newTagTemplate(text, true)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got, err := tt.run(dot)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
	if got, err := runTagTemplate(`[{{printf "%s" (httpGet "`+srv.URL+`")}}]`, dot); err != nil || got != "[]" {
		t.Errorf("httpGet without leave: %q, %v", got, err)
	}
	for _, bad := range []string{`{{.Nothing}}`, `{{sIndex 1 2}}`, `{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`, `{{matchFirstElement "(" .Config.Env}}`,
		`{{range 1000000000}}{{range 1000000000}}{{end}}{{end}}`, `{{if true}}{{range .Config.Env}}x{{end}}{{end}}`, `{{block "x" .}}{{end}}`,
		`{{"aaaaaaaaaaaaaaaa"` + strings.Repeat(` | replace -1 "a" "aaaaaaaaaaaaaaaa"`, 20) + `}}`} {
		if got, err := runTagTemplate(bad, dot); err == nil {
			t.Errorf("%s: %q and no error", bad, got)
		}
	}
	if _, err := New(Config{Tags: "{{"}); err == nil {
		t.Error("a broken template is taken")
	}
}

func TestExpand(t *testing.T) {
	v := variables{"SERVICE_IP": "1.2.3.4", "SERVICE_ID": "id", "NODE": "n"}
	for in, want := range map[string]string{
		"": "", "$": "$", "$$": "$", "$SERVICE_IP": "1.2.3.4", "${SERVICE_IP}:$SERVICE_ID": "1.2.3.4:id", "${OTHER}": "${OTHER}", "${": "${",
		"$NODES": "nS", "$$NODE": "$NODE", "a$NODE$NODE": "ann", "${NODE": "${NODE",
	} {
		if got := v.expand(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestSplitWords(t *testing.T) {
	for in, want := range map[string][]string{
		"": nil, " a  b ": {"a", "b"}, `a 'b c' "d 'e"`: {"a", "b c", "d 'e"}, `a\ b`: {"a b"}, `""`: {""}, `x""y`: {"xy"}, `'a\'`: {`a\`},
	} {
		if got, err := splitWords(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	if _, err := splitWords("a 'b"); err == nil {
		t.Error("an open quote is taken")
	}
}

func TestSignalNumber(t *testing.T) {
	for in, want := range map[string]int{"": 0, "15": 15, "SIGTERM": 15, "quit": 3, "SIGRTMIN+3": 37, "RTMAX-1": 63, "SIGNONE": 0, "37": 37} {
		if got := signalNumber(in); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

func TestFindEngine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	id := contextID("remote")
	write("config.json", `{"currentContext":"remote"}`)
	write("contexts/meta/"+id+"/meta.json", `{"Name":"remote","Endpoints":{"docker":{"Host":"tcp://ctx:2376","SkipTLSVerify":true}}}`)
	write("contexts/tls/"+id+"/docker/ca.pem", "")
	for name, tc := range map[string]struct {
		engine string
		env    map[string]string
		host   string
		tls    bool
		bad    string
	}{
		"setting":         {engine: "/x.sock", env: map[string]string{"DOCKER_HOST": "unix:///y"}, host: "unix:///x.sock"},
		"DOCKER_HOST":     {env: map[string]string{"DOCKER_HOST": "tcp://h:2375", "DOCKER_CONTEXT": "remote", "DOCKER_CONFIG": dir}, host: "tcp://h:2375"},
		"TLS":             {env: map[string]string{"DOCKER_HOST": "tcp://h:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}, host: "tcp://h:2376", tls: true},
		"DOCKER_CONTEXT":  {env: map[string]string{"DOCKER_CONTEXT": "remote", "DOCKER_CONFIG": dir}, host: "tcp://ctx:2376", tls: true},
		"current context": {env: map[string]string{"DOCKER_CONFIG": dir}, host: "tcp://ctx:2376", tls: true},
		"no such context": {env: map[string]string{"DOCKER_CONTEXT": "other", "DOCKER_CONFIG": dir}, bad: "docker context \"other\""},
		"ssh":             {engine: "ssh://me@host", bad: "forward the socket"},
		"no scheme":       {engine: "host:2375", bad: "want unix:///path"},
		"odd scheme":      {engine: "consul://x", bad: "not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Engine: tc.engine, Getenv: func(k string) string { return tc.env[k] }}
			ep, err := findEngine(&cfg)
			if tc.bad != "" {
				if err == nil || !strings.Contains(err.Error(), tc.bad) {
					t.Fatalf("error %v", err)
				}
				return
			}
			if err != nil || ep.host != tc.host || (ep.tls != nil) != tc.tls {
				t.Fatalf("%+v, %v", ep, err)
			}
		})
	}
}

func TestConfigProblemsAreAllTold(t *testing.T) {
	_, err := New(Config{Profile: "x", AddressMode: "y", Deregister: "z", IP: "0.0.0.0", AllowNames: []string{"["}})
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"logger", "node", "profile", "address_mode", "deregister", "ip", "pattern"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in: %v", want, err)
		}
	}
}

// Row 50 of the failure table.
func TestFailure50_PanicInOneContainer(t *testing.T) {
	r := testRegistrator(t, nil)
	r.filter = &constraint{func(c *inspected) bool {
		if c.name == "evil" {
			panic("boom")
		}
		return true
	}}
	now := time.Now()
	for _, name := range []string{"evil", "good"} {
		c := parse(t, "publish 1000>80/tcp\nname "+name)
		r.state.inflight[name] = 1
		r.apply(&result{id: name, seq: 1, c: c}, now)
	}
	r.state.synced = true
	set, _ := r.gather(now)
	if len(set) != 1 || set[0].ID != "host:good:80" || r.Stats().Panics != 1 || r.Explain("evil")[0].Reason != ReasonError {
		t.Fatalf("set %+v, stats %+v", set, r.Stats())
	}
}

func TestImageNames(t *testing.T) {
	for ref, want := range map[string]string{"redis": "redis", "redis:7": "redis", "h:5000/a/redis:7@sha256:ab": "redis", "redis@sha256:ab": "redis",
		"sha256:" + strings.Repeat("a", 64): "", strings.Repeat("a", 64): "", "deadbeef": "deadbeef", "h:5000/x": "x"} {
		if got := imageName(ref); got != want {
			t.Errorf("%s: %q, want %q", ref, got, want)
		}
	}
}

func TestKeyLimits(t *testing.T) {
	c := parse(t, "publish 1000>80/tcp")
	for i := range 300 {
		c.labels["SERVICE_K"+strings.Repeat("x", i)] = "v"
	}
	b := buildIt(testRegistrator(t, nil), c)
	meta := b.instances[0].def.Meta
	if len(meta) > maxMetaPairs || len(b.dropped) == 0 {
		t.Fatalf("%d pairs, %d dropped", len(meta), len(b.dropped))
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"SERVICE_NAME", "SERVICE_80_NAME", "SERVICE_53_udp_NAME", "SERVICE_1-2_TCP_X", "SERVICE_", "SERVICE_0080_a", "SERVICE_70000_X", "SERVICE_9-1_X", "SERVICE_80_", "SERVICE__"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, parse := range []func(string) (scope, string, bool){parseKey, parseKeyCompat} {
			sc, field, ok := parse(name)
			if !ok {
				continue
			}
			if field != strings.ToLower(field) {
				t.Fatalf("%q: field %q is not lower-case", name, field)
			}
			if field == "" || (sc.lo > 0 && (sc.hi < sc.lo || sc.hi > 65535)) {
				t.Fatalf("%q: %+v %q", name, sc, field)
			}
			if sc.rank() < 0 {
				t.Fatalf("%q: rank %d", name, sc.rank())
			}
		}
	})
}

// FuzzSettings feeds any label and variable through everything that reads them.
func FuzzSettings(f *testing.F) {
	f.Add("SERVICE_CHECK_HTTP", "/x", "SERVICE_NAME=web")
	f.Add("SERVICE_PORTS", "1-4000,5/udp", "SERVICE_80_WEIGHT=-1")
	f.Add("SERVICE_CHECK_HEADER", "{", "SERVICE_CHECK_SCRIPT='")
	f.Add("SERVICE_ADDRESS", "iface:", "SERVICE_TAGS={{.}}")
	f.Fuzz(func(t *testing.T, key, value, env string) {
		for _, profile := range []string{ProfileNative, ProfileRegistrator} {
			r := testRegistrator(t, func(c *Config) {
				c.Profile, c.AllowScriptChecks, c.AllowTagTemplates = profile, true, true
			})
			c := parse(t, "publish 1000>80/tcp\nexpose 81/udp\nnetwork bridge 172.17.0.2")
			c.labels[key] = value
			c.env = []string{env}
			b := buildIt(r, c)
			for _, in := range b.instances {
				if in.def.Name == "" || in.def.ID == "" || len(in.def.Meta) > maxMetaPairs {
					t.Fatalf("%+v", in.def)
				}
				for k := range in.def.Meta {
					if metaKey(k) != k {
						t.Fatalf("metadata key %q", k)
					}
				}
			}
		}
	})
}

// Who asks for a client gets one for the engine of the registrator's configuration, TLS included.
func TestClients_TalkToTheConfiguredEngine(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		fmt.Fprintf(w, `{"ID":"by-tls"}`)
	}))
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	testutil.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	dial := Clients(Config{Engine: "tcp://" + srv.Listener.Addr().String(), EngineTLS: EngineTLS{CA: ca}})
	c, err := dial()
	testutil.NoError(t, err)
	defer c.Close()
	info, err := c.Info(t.Context())
	testutil.NoError(t, err)
	testutil.Equal(t, info.ID, "by-tls")
	testutil.Equal(t, c.ClientVersion(), "1.41")
}

// The reason of a container is the one that its author can do something about.
func TestMainReason(t *testing.T) {
	for text, want := range map[string]string{
		"expose 53/udp\nexpose 443/tcp":                                                     ReasonNotPublished + " the port is not published on the host (-p), and address mode is published",
		"expose 53/udp\npublish 127.0.0.1:1000>80/tcp":                                      ReasonLoopback + " 80/tcp: published on loopback only, which other hosts cannot reach",
		"expose 53/udp\npublish 1000>80/tcp\nlabel SERVICE_NAME=a\nlabel SERVICE_ID=consul": ReasonBadID + " 80/tcp: the ID consul is that of this host's own server",
		"expose 53/udp\npublish 1000>80/tcp\nlabel SERVICE_80_IGNORE=yes":                   ReasonIgnored + " 80/tcp: label SERVICE_80_IGNORE",
	} {
		b := buildIt(testRegistrator(t, nil), parse(t, text))
		testutil.Equal(t, b.reason+" "+b.detail, want)
	}
}

func TestNoAddress_NamesTheRemedy(t *testing.T) {
	v4only := func(c *Config) { c.NodeAddress6 = nil }
	for text, want := range map[string]string{
		"publish 1000>80/tcp\nlabel SERVICE_ADDRESS_FAMILY=ipv6":                                              "advertise_addr_ipv6",
		"net host\nexpose 80/tcp\nlabel SERVICE_ADDRESS_FAMILY=ipv6":                                          "advertise_addr_ipv6",
		"publish [::]:1000>80/tcp":                                                                            "advertise_addr_ipv6",
		"publish 192.0.2.1:1000>80/tcp\nlabel SERVICE_ADDRESS_FAMILY=ipv6":                                    "advertise_addr_ipv6",
		"publish [2001:db8::1]:1000>80/tcp":                                                                   "not published on an address of family ipv4; SERVICE_ADDRESS_FAMILY",
		"expose 80/tcp\nnetwork bridge 10.0.0.2\nlabel SERVICE_INTERNAL=1\nlabel SERVICE_ADDRESS_FAMILY=ipv6": "no address of family ipv6 in network bridge; SERVICE_ADDRESS_FAMILY",
	} {
		b := buildIt(testRegistrator(t, v4only), parse(t, text))
		if b.reason != ReasonNoAddress || !strings.Contains(b.detail, want) {
			t.Errorf("%q: %s: %s", text, b.reason, b.detail)
		}
	}
}

func TestIgnoreFalse_IsSaid(t *testing.T) {
	b := buildIt(testRegistrator(t, nil), parse(t, "publish 1000>80/tcp\nlabel SERVICE_IGNORE=false"))
	testutil.Equal(t, b.dropped, []string{"label SERVICE_IGNORE=false: registered all the same; gliderlabs/registrator took any text for yes"})
}

func TestYesOrNo_NeitherIsSaid(t *testing.T) {
	text := "publish 1000>80/tcp"
	keys := []string{"DEREGISTER_ON_STOP", "INTERNAL", "ENABLE_TAG_OVERRIDE", "CHECK_DOCKER_HEALTH"}
	for _, k := range keys {
		text += "\nlabel SERVICE_" + k + "=maybe"
	}
	b := buildIt(testRegistrator(t, nil), parse(t, text))
	for i, k := range keys {
		testutil.Equal(t, b.dropped[i], "label SERVICE_"+k+"=maybe: want true or false")
	}
	b = buildIt(testRegistrator(t, nil), parse(t, "label SERVICE_PORTLESS=maybe"))
	testutil.Equal(t, b.dropped, []string{"label SERVICE_PORTLESS=maybe: want true or false"})
}

func TestEngine_InspectKnowsWhenAContainerIsGone(t *testing.T) {
	for _, c := range []struct {
		status  int
		message string
		gone    bool
	}{
		{404, "No such container: abc", true},
		{404, "page not found", false},
		{500, "container abc does not exist in database: no such container", true}, // Podman 4.3, while it is removed
		{500, "server error", false},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.status)
			fmt.Fprintf(w, `{"message":%q}`, c.message)
		}))
		e, err := newEngine(engineEndpoint{host: "tcp://" + srv.Listener.Addr().String()}, nil, false)
		testutil.NoError(t, err)
		if _, err = e.inspect(t.Context(), "abc"); err == nil || errors.Is(err, errGone) != c.gone {
			t.Errorf("%d %q: %v", c.status, c.message, err)
		}
		e.close()
		srv.Close()
	}
}
