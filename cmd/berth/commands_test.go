package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/testutil"
)

const (
	membersJSON = `[
 {"Name":"b-client","Addr":"10.0.0.3","Port":8301,"Tags":{"role":"node","dc":"dc1","build":"0.1.0:abc","vsn":"2"},"Status":4,"ProtocolCur":2},
 {"Name":"s2","Addr":"10.0.0.2","Port":8301,"Tags":{"role":"consul","dc":"dc1","build":"0.1.0:abc","vsn":"2"},"Status":1},
 {"Name":"s1","Addr":"10.0.0.1","Port":8301,"Tags":{"role":"consul","dc":"dc1","build":"0.1.0:abc","vsn":"2"},"Status":1}]`
	nodesJSON = `[{"ID":"d3fa51fb-8f33-f417-dbf0-67cb061934c3","Node":"n1","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":{"wan":"1.1.1.1","lan":"10.0.0.1"},"Meta":{"rack":"r1"}}]`
	raftJSON  = `{"Servers":[
 {"ID":"id1","Node":"s1","Address":"10.0.0.1:8300","Leader":true,"ProtocolVersion":"3","Voter":true,"LastIndex":17},
 {"ID":"id2","Node":"s2","Address":"10.0.0.2:8300","Leader":false,"ProtocolVersion":"3","Voter":true,"LastIndex":15}],"Index":0}`
	keyringJSON = `[{"WAN":true,"Datacenter":"dc1","Keys":{"K1":2},"PrimaryKeys":{"K1":2},"NumNodes":2},
 {"Datacenter":"dc1","Messages":{"n9":"no keyring"},"Keys":{"K1":3,"K2":1},"PrimaryKeys":{"K1":3},"NumNodes":3}]`
	explainJSON = `[
 {"Container":"0123456789abcdef","Name":"/web","Image":"my/web:1","State":"running","Health":"healthy","Network":"bridge: the only one","Ports":[
  {"Port":"8080/tcp","ServiceID":"web-1","Service":"web","Address":"10.0.0.1:32768","Tags":["blue"],"Status":"passing","From":{"Name":"SERVICE_8080_NAME"}},
  {"Port":"9090/tcp","Reason":"not-published","Detail":"publish it with -p"}],"Dropped":["SERVICE_X: not known"]},
 {"Container":"fedcba9876543210","Name":"/job","Image":"my/job","State":"exited","Reason":"not-running","Ports":null}]`
	autopilotJSON = `{"CleanupDeadServers":true,"LastContactThreshold":"200ms","MaxTrailingLogs":250,"MinQuorum":0,"ServerStabilizationTime":"10s","ModifyIndex":4}`
	checksJSON    = `{"_node_maintenance":{"CheckID":"_node_maintenance","Notes":"disk"},"_service_maintenance:web-1":{"CheckID":"_service_maintenance:web-1","ServiceID":"web-1","Notes":"upgrade"},"x":{"CheckID":"x"}}`
	coordJSON     = `[{"Node":"a","Coord":{"Vec":[0.003,0.004],"Height":0.0001,"Adjustment":0}},{"Node":"b","Coord":{"Vec":[0,0],"Height":0.0002,"Adjustment":0.0003}}]`
)

// TestCommands: command lines with what the agent answers, what is asked and what is printed.
func TestCommands(t *testing.T) {
	for _, x := range []struct {
		name    string
		args    string
		answers map[string]string
		status  int
		out     string // whole standard output
		err     string // part of standard error
		asked   string // last request
	}{
		{"members", "members", map[string]string{"GET /v1/agent/members": membersJSON}, 0,
			"Node      Address        Status  Type    Build  Protocol  DC   Partition  Segment\n" +
				"s1        10.0.0.1:8301  alive   server  0.1.0  2         dc1  default    <all>\n" +
				"s2        10.0.0.2:8301  alive   server  0.1.0  2         dc1  default    <all>\n" +
				"b-client  10.0.0.3:8301  failed  client  0.1.0  2         dc1  default    <default>\n", "", ""},
		{"members by status", "members -status=failed -detailed", map[string]string{"GET /v1/agent/members": membersJSON}, 0,
			"Node      Address        Status  Tags\nb-client  10.0.0.3:8301  failed  build=0.1.0:abc,dc=dc1,role=node,vsn=2\n", "", ""},
		{"members, none", "members -status=left", map[string]string{"GET /v1/agent/members": membersJSON}, 2, "", "", ""},
		{"members of the wan", "members -wan", map[string]string{"GET /v1/agent/members?wan=1": "null"}, 2, "", "", "GET /v1/agent/members?wan=1"},
		{"info", "info", map[string]string{"GET /v1/agent/self": `{"Stats":{"raft":{"b":"2","a":"1"},"agent":{"c":"3"}}}`}, 0,
			"agent:\n\tc = 3\nraft:\n\ta = 1\n\tb = 2\n", "", ""},
		{"datacenters", "catalog datacenters", map[string]string{"GET /v1/catalog/datacenters": `["dc1","dc2"]`}, 0, "dc1\ndc2\n", "", ""},
		{"nodes", "catalog nodes -near _agent -node-meta rack=r1", map[string]string{"GET /v1/catalog/nodes": nodesJSON}, 0,
			"Node  ID        Address   DC\nn1    d3fa51fb  10.0.0.1  dc1\n", "", "GET /v1/catalog/nodes?near=_agent&node-meta=rack%3Ar1"},
		{"nodes in detail", "catalog nodes -detailed", map[string]string{"GET /v1/catalog/nodes": nodesJSON}, 0,
			"Node  ID                                    Address   DC   TaggedAddresses           Meta\n" +
				"n1    d3fa51fb-8f33-f417-dbf0-67cb061934c3  10.0.0.1  dc1  lan=10.0.0.1,wan=1.1.1.1  rack=r1\n", "", ""},
		{"nodes, none", "catalog nodes -datacenter dc2 -stale", map[string]string{"GET /v1/catalog/nodes": "[]"}, 0, "",
			"No nodes match the given query - try expanding your search.", "GET /v1/catalog/nodes?dc=dc2&stale="},
		{"services", "catalog services -tags", map[string]string{"GET /v1/catalog/services": `{"web":["b","a"],"consul":[]}`}, 0,
			"consul\nweb     a,b\n", "", ""},
		{"services of a node", "catalog services -node n1", map[string]string{"GET /v1/catalog/node/n1": `{"Services":{"w":{"ID":"w","Service":"web","Tags":[]}}}`}, 0, "web\n", "", ""},
		{"services of no node", "catalog services -node n9", map[string]string{"GET /v1/catalog/node/n9": "null"}, 0, "", "No services match", ""},
		{"register", "services register -name web -port 80 -tag a -tag b -meta k=v -tagged-address wan=1.2.3.4:80", map[string]string{"PUT /v1/agent/service/register": ""}, 0,
			"Registered service: web\n", "",
			`PUT /v1/agent/service/register {"Name":"web","Tags":["a","b"],"TaggedAddresses":{"wan":{"Address":"1.2.3.4","Port":80}},"Meta":{"k":"v"},"Port":80}`},
		{"register nothing", "services register", nil, 1, "", "services register needs a file, or -name", ""},
		{"register refused", "services register -name web", map[string]string{"PUT /v1/agent/service/register": "400|Invalid service address"}, 1, "",
			`Error registering service "web": Unexpected response code: 400 (Invalid service address)`, ""},
		{"deregister", "services deregister -id web-1", map[string]string{"PUT /v1/agent/service/deregister/web-1": ""}, 0, "Deregistered service: web-1\n", "", ""},
		{"health", "health", map[string]string{"GET /v1/status/leader": `"10.0.0.1:8300"`}, 0, "healthy: leader is 10.0.0.1:8300\n", "", ""},
		{"health without leader", "health", map[string]string{"GET /v1/status/leader": `""`}, 1, "", "unhealthy: No cluster leader", ""},
		{"explain", "explain", map[string]string{"GET /v1/agent/explain": explainJSON}, 0,
			"Container  State              Port      Service  ID     Address         Status   Why\n" +
				"web        running (healthy)  8080/tcp  web      web-1  10.0.0.1:32768  passing  Name from SERVICE_8080_NAME\n" +
				"web        running (healthy)  9090/tcp  -        -      -               -        not-published: publish it with -p\n" +
				"job        exited             -         -        -      -               -        not-running\n", "", "GET /v1/agent/explain"},
		{"explain no container", "explain nope", map[string]string{"GET /v1/agent/explain?container=nope": "[]"}, 1, "", `No container "nope"`, ""},
		{"explain without docker", "explain", map[string]string{"GET /v1/agent/explain": "404|Docker registration is not enabled on this agent"}, 1, "", "Docker registration is not enabled on this agent", ""},
		{"join", "join 10.0.0.1 10.0.0.2", map[string]string{"PUT /v1/agent/join/10.0.0.1": "", "PUT /v1/agent/join/10.0.0.2": "500|no route"}, 0,
			"Successfully joined cluster by contacting 1 nodes.\n", "Error joining address '10.0.0.2': Unexpected response code: 500 (no route)", ""},
		{"join nobody", "join -wan x", nil, 1, "", "Failed to join any nodes.", "PUT /v1/agent/join/x?wan=1"},
		{"leave", "leave", map[string]string{"PUT /v1/agent/leave": ""}, 0, "Graceful leave complete\n", "", ""},
		{"force-leave", "force-leave -prune n9", map[string]string{"PUT /v1/agent/force-leave/n9?prune=": ""}, 0, "", "", "PUT /v1/agent/force-leave/n9?prune="},
		{"force-leave unknown", "force-leave n9", map[string]string{"PUT /v1/agent/force-leave/n9": "500|agent: No node found with name 'n9'"}, 1, "", "No node found with name 'n9'", ""},
		{"reload", "reload", map[string]string{"PUT /v1/agent/reload": ""}, 0, "Configuration reload triggered\n", "", ""},
		{"keyring list", "keyring -list", map[string]string{"GET /v1/operator/keyring": keyringJSON}, 0,
			"==> Gathering installed encryption keys...\n\nWAN:\n  K1 [2/2]\n\ndc1 (LAN):\n  ===> n9: no keyring\n  K1 [3/3]\n  K2 [1/3]\n", "", ""},
		{"keyring use", "keyring -use MDEyMzQ1Njc4OTAxMjM0NQ== -relay-factor 2", map[string]string{"PUT /v1/operator/keyring": ""}, 0,
			"==> Changing primary gossip encryption key...\n", "", `PUT /v1/operator/keyring?relay-factor=2 {"Key":"MDEyMzQ1Njc4OTAxMjM0NQ=="}`},
		{"keyring twice", "keyring -list -list-primary", nil, 1, "", "give exactly one of", ""},
		{"keyring bad key", "keyring -install abc=", nil, 1, "", "the key", ""},
		{"list-peers", "operator raft list-peers", map[string]string{"GET /v1/operator/raft/configuration": raftJSON}, 0,
			"Node  ID   Address        State     Voter  RaftProtocol  Commit Index  Trails Leader By\n" +
				"s1    id1  10.0.0.1:8300  leader    true   3             17            -\n" +
				"s2    id2  10.0.0.2:8300  follower  true   3             15            2 commits\n", "", ""},
		{"remove-peer", "operator raft remove-peer -id id2", map[string]string{"DELETE /v1/operator/raft/peer": ""}, 0, "Removed peer with id \"id2\"\n", "", "DELETE /v1/operator/raft/peer?id=id2"},
		{"transfer-leader", "operator raft transfer-leader", map[string]string{"POST /v1/operator/raft/transfer-leader": `{"Success":true}`}, 0, "Success\n", "", ""},
		{"autopilot", "operator autopilot set-config -min-quorum 3", map[string]string{"GET /v1/operator/autopilot/configuration": autopilotJSON, "PUT /v1/operator/autopilot/configuration": "true"}, 0,
			"Configuration updated!\n", "", `PUT /v1/operator/autopilot/configuration?cas=4 {"CleanupDeadServers":true,"LastContactThreshold":"200ms","MaxTrailingLogs":250,"MinQuorum":3,"ServerStabilizationTime":"10s","RedundancyZoneTag":"","DisableUpgradeMigration":false,"UpgradeVersionTag":"","CreateIndex":0,"ModifyIndex":4}`},
		{"usage", "operator usage instances", map[string]string{"GET /v1/operator/usage": `{"Usage":{"dc1":{"Nodes":3,"Services":2,"ServiceInstances":5}}}`}, 0,
			"Datacenter  Nodes  Services  Service instances\ndc1         3      2         5\nTotal       3      2         5\n", "", ""},
		{"rtt", "rtt a b", map[string]string{"GET /v1/coordinate/nodes": coordJSON}, 0, "Estimated a <-> b rtt: 5.600 ms (using LAN coordinates)\n", "", ""},
		{"rtt unknown", "rtt a c", map[string]string{"GET /v1/coordinate/nodes": coordJSON}, 1, "", `could not find a coordinate for node "c"`, ""},
		{"event", "event -name deploy -service web v2", map[string]string{"PUT /v1/event/fire/deploy": `{"ID":"e1"}`}, 0, "Event ID: e1\n", "", "PUT /v1/event/fire/deploy?service=web v2"},
		{"event tag", "event -name x -tag t", nil, 1, "", "Cannot provide tag filter without service filter", ""},
		{"maint list", "maint", map[string]string{"GET /v1/agent/self": `{"Config":{"NodeName":"n1"}}`, "GET /v1/agent/checks": checksJSON}, 0,
			"Node:\n  Name:   n1\n  Reason: disk\n\nService:\n  ID:     web-1\n  Reason: upgrade\n\n", "", ""},
		{"maint on", "maint -enable -service web-1 -reason upgrade", map[string]string{"PUT /v1/agent/service/maintenance/web-1": ""}, 0,
			"Service maintenance is now enabled for \"web-1\"\n", "", "PUT /v1/agent/service/maintenance/web-1?enable=true&reason=upgrade"},
		{"maint off", "maint -disable", map[string]string{"PUT /v1/agent/maintenance": ""}, 0, "Node maintenance is now disabled\n", "", "PUT /v1/agent/maintenance?enable=false"},
		{"monitor", "monitor -log-level debug", map[string]string{"GET /v1/agent/monitor?loglevel=DEBUG": "line\n"}, 1, "line\n", "The agent ended the log", ""},
		{"watch once", "watch -type key -key a/b", map[string]string{"GET /v1/kv/a/b": `[{"Key":"a/b"}]`}, 0, "{\n    \"Key\": \"a/b\"\n}\n", "", ""},
		{"watch a missing key", "watch -type key -key a/b", nil, 0, "null\n", "", ""},
		{"watch type", "watch -type moon", nil, 1, "", `type "moon": use checks, event`, ""},
		{"unknown flag", "members -bogus", nil, 1, "", "flag provided but not defined: -bogus", ""},
		{"token is refused", "members", map[string]string{"GET /v1/agent/members": "403|Permission denied"}, 1, "", "Unexpected response code: 403 (Permission denied)", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			a := newFakeAgent(t, x.answers)
			r := a.ask(t, strings.Fields(x.args)...)
			if r.status != x.status || r.stdout != x.out || !strings.Contains(r.stderr, x.err) || x.err == "" && r.stderr != "" {
				t.Errorf("status %d, stderr %q\ngot:\n%s\nwant %d, %q:\n%s", r.status, r.stderr, r.stdout, x.status, x.err, x.out)
			}
			if asked := a.asked(); x.asked != "" && (len(asked) == 0 || asked[len(asked)-1] != x.asked) {
				t.Errorf("asked %q\nwant  %q", asked, x.asked)
			}
		})
	}
}

func TestExplain_OneContainer(t *testing.T) {
	one := "[" + strings.Split(explainJSON, " {\"Container\":\"fed")[0][1:]
	one = strings.TrimRight(strings.TrimSpace(one), ",") + "]"
	r := newFakeAgent(t, map[string]string{"GET /v1/agent/explain?container=web": one}).ask(t, "explain", "web")
	testutil.Equal(t, r.status, 0)
	for _, want := range []string{
		"Container:  web (0123456789ab)", "Network:    bridge: the only one", "8080/tcp  web      web-1  10.0.0.1:32768  blue  passing",
		"not-published: publish it with -p", "not taken: SERVICE_X: not known",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is missing in\n%s", want, r.stdout)
		}
	}
}

func TestRegister_File(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yaml")
	testutil.NoError(t, os.WriteFile(file, []byte("service:\n  name: web\n  port: 80\n  check: {http: 'http://x/', interval: 10s}\n"), 0o600))
	a := newFakeAgent(t, map[string]string{"PUT /v1/agent/service/register": ""})
	r := a.ask(t, "services", "register", file)
	testutil.Equal(t, r, result{0, "Registered service: web\n", ""})
	testutil.Equal(t, a.asked(), []string{`PUT /v1/agent/service/register {"ID":"web","Name":"web","Port":80,"Checks":[{"HTTP":"http://x/","Interval":"10s"}]}`})
	testutil.NoError(t, os.WriteFile(file, []byte("service:\n  nam: web\n"), 0o600))
	r = a.ask(t, "services", "register", file)
	if r.status != 1 || !strings.Contains(r.stderr, "web.yaml:2: invalid config key service.nam, did you mean name?") {
		t.Errorf("got %+v", r)
	}
}

func TestClient_WhichAgent(t *testing.T) {
	a := newFakeAgent(t, map[string]string{"GET /v1/status/leader": `"x"`})
	dead := "127.0.0.1:1"
	for name, x := range map[string]struct {
		environ []string
		args    []string
	}{
		"flag":              {[]string{"BERTH_HTTP_ADDR=" + dead}, []string{"-http-addr", a.URL}},
		"berth's variable":  {[]string{"CONSUL_HTTP_ADDR=" + dead, "BERTH_HTTP_ADDR=" + a.URL}, nil},
		"consul's variable": {[]string{"CONSUL_HTTP_ADDR=" + a.Listener.Addr().String()}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := berthCommand(t, x.environ, "", append([]string{"health"}, x.args...)...)
			testutil.Equal(t, r.status, 0)
		})
	}
	r := berthCommand(t, []string{"BERTH_HTTP_ADDR=" + dead}, "", "health")
	if r.status != 1 || !strings.Contains(r.stderr, "unhealthy: no agent answers at 127.0.0.1:1: dial tcp 127.0.0.1:1") {
		t.Errorf("got %+v", r)
	}
	r = berthCommand(t, []string{"BERTH_HTTP_ADDR=ftp://x"}, "", "health")
	if r.status != 1 || !strings.Contains(r.stderr, `http-addr "ftp://x": use host:port`) {
		t.Errorf("got %+v", r)
	}
}

func TestProgram(t *testing.T) {
	r := berthCommand(t, nil, "", "version")
	if r.status != 0 || !strings.HasPrefix(r.stdout, "berth v"+version) {
		t.Errorf("version: %+v", r)
	}
	testutil.Equal(t, berthCommand(t, nil, "", "-version").stdout, r.stdout)
	r = berthCommand(t, nil, "")
	if r.status != 127 || !strings.Contains(r.stderr, "explain") {
		t.Errorf("no command: %+v", r)
	}
	r = berthCommand(t, nil, "", "cataloog", "nodes")
	if r.status != 127 || !strings.HasSuffix(r.stderr, "Error: there is no command \"cataloog\"; `berth -help` lists them\n") {
		t.Errorf("unknown command: %+v", r)
	}
	r = berthCommand(t, nil, "", "kv", "put", "-h")
	if r.status != 0 || !strings.Contains(r.stdout, "Usage: berth kv put [options] KEY [DATA]") || !strings.Contains(r.stdout, "-http-addr") {
		t.Errorf("help: %+v", r)
	}
	r = berthCommand(t, nil, "", "agent", "-datacenter", "A B")
	if r.status != 3 || !strings.Contains(r.stderr, "data_dir cannot be empty") || !strings.Contains(r.stderr, "datacenter: ") {
		t.Errorf("bad configuration: %+v", r)
	}
	testutil.Equal(t, berthCommand(t, nil, "", "agent", "-bogus").status, 2)
}

func TestEveryCommandHasHelp(t *testing.T) {
	e := &env{}
	for _, s := range specs() {
		c, err := commands(e)[s.name]()
		testutil.NoError(t, err)
		if c.Synopsis() == "" || !strings.Contains(c.Help(), "Usage: berth "+s.name) {
			t.Errorf("%s: synopsis %q, help %q", s.name, c.Synopsis(), c.Help())
		}
	}
	if m := manual(); !strings.Contains(m, `.SS "berth resolve [options] NAME [TYPE]"`) {
		t.Error("the manual page does not show resolve")
	}
}

func TestValidate(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.json")
	testutil.NoError(t, os.WriteFile(good, []byte("server: true\nconnect: {}\n"), 0o600))
	testutil.NoError(t, os.WriteFile(bad, []byte(`{"servr": true}`), 0o600))
	r := berthCommand(t, nil, "", "validate", good)
	if r.status != 0 || r.stdout != "Configuration is valid!\n" || !strings.Contains(r.stderr, "connect is ignored") {
		t.Errorf("good: %+v", r)
	}
	r = berthCommand(t, nil, "", "validate", "-quiet", bad)
	if r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "bad.json:1: invalid config key servr, did you mean server?") {
		t.Errorf("bad: %+v", r)
	}
	testutil.NoError(t, os.WriteFile(bad, []byte(`{"registrator": {"tags": "{{.Name"}}`), 0o600))
	refused := filepath.Join(t.TempDir(), "refused.yaml")
	testutil.NoError(t, os.WriteFile(refused, []byte(`services: [{name: web, meta: {"bad key": x}, check: {args: ["true"], interval: 10s}}]`), 0o600))
	r = berthCommand(t, nil, "", "validate", refused)
	testutil.Equal(t, r.status, 1)
	if !strings.Contains(r.stderr, `service "web" of config: Invalid Service Meta`) {
		t.Errorf("got %q", r.stderr)
	}
	r = berthCommand(t, nil, "", "validate", bad)
	if r.status != 1 || !strings.Contains(r.stderr, "registrator: tags: template: ") {
		t.Errorf("a template: %+v", r)
	}
	// What the agent would not start with is named here already, all of it.
	testutil.NoError(t, os.WriteFile(bad, []byte(`{"services": [{"name": "a", "check": {"args": ["true"], "interval": "5s"}}, {"name": "b", "meta": {"consul-x": "y"}}],
		"checks": [{"name": "c", "id": "serfHealth", "ttl": "5s"}]}`), 0o600))
	r = berthCommand(t, nil, "", "validate", bad)
	for _, text := range []string{`service "b" of config: Invalid Service Meta`, `check "c" of config: Invalid check: ID "serfHealth" is reserved`} {
		if r.status != 1 || !strings.Contains(r.stderr, text) {
			t.Errorf("definitions: %+v, want %s", r, text)
		}
	}
	testutil.NoError(t, os.WriteFile(bad, []byte(`{"service": {"name": "a", "check": {"args": ["true"], "interval": "5s"}}}`), 0o600))
	if r = berthCommand(t, nil, "", "validate", bad); r.status != 0 || !strings.Contains(r.stderr, `Warning: service "a" of config: Scripts are disabled on this agent; to enable, configure 'enable_script_checks'`) {
		t.Errorf("scripts, which a flag may enable: %+v", r)
	}
	testutil.NoError(t, os.WriteFile(bad, []byte(`{"enable_local_script_checks": true, "service": {"name": "a", "checks": [{"args": ["true"], "interval": "5s"}, {"alias_node": "other"}]}}`), 0o600))
	if r = berthCommand(t, nil, "", "validate", bad); r.status != 0 || r.stderr != "" {
		t.Errorf("definitions that are fine: %+v", r)
	}
}

func TestKeygen(t *testing.T) {
	r := berthCommand(t, nil, "", "keygen")
	if r.status != 0 || len(strings.TrimSpace(r.stdout)) != 44 {
		t.Errorf("got %+v", r)
	}
	if again := berthCommand(t, nil, "", "keygen"); again.stdout == r.stdout {
		t.Error("the same key twice")
	}
}

func TestRegistrator_CommandLine(t *testing.T) {
	for args, want := range map[string]string{
		"etcd://h:1 -dev":                  `registry "etcd" cannot be used`,
		"-internal consul://h:8500 -bogus": "flag provided but not defined: -bogus",
		"-dev consul://h:8500 consul://i":  `unexpected argument "consul://i"`,
		"localhost:8500":                   `"localhost:8500" is not an address such as consul://localhost:8500`,
	} {
		r := berthCommand(t, nil, "", append([]string{"registrator"}, strings.Fields(args)...)...)
		if r.status != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: got %+v", args, r)
		}
	}
	r := berthCommand(t, nil, "", "registrator", "consul://h:8500", "-deregister", "sometimes", "-dev")
	if r.status != 3 || !strings.Contains(r.stderr, `registrator.deregister: "sometimes" is not one of always, on-success, never`) {
		t.Errorf("flags after the address: %+v", r)
	}
	r = berthCommand(t, nil, "", "registrator", "--version")
	if r.status != 0 || !strings.HasPrefix(r.stdout, "berth v") {
		t.Errorf("--version: %+v", r)
	}
	for flag, want := range map[string]string{
		"-tags={{.Name": "registrator: tags: ", "-ip=nonsense": `registrator: ip: "nonsense"`, "-constraint=label(x": "registrator: constraint: ",
	} {
		r = berthCommand(t, nil, "", "registrator", "-dev", flag)
		if r.status != exitInvalid || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: %+v", flag, r)
		}
	}
	testutil.Equal(t, invocation([]string{"/bin/registrator", "-internal"}), []string{"registrator", "-internal"})
}
