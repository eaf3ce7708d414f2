package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"
)

func TestAgent_RegisterService_Refuses(t *testing.T) {
	a := newAgent(t, testConfig(newFake()))
	long := strings.Repeat("x", 600)
	many := map[string]string{}
	for i := range 65 {
		many[strings.Repeat("k", i+1)] = ""
	}
	sec := berth.Duration(time.Second)
	withCheck := func(c berth.CheckDefinition) berth.ServiceDefinition {
		return berth.ServiceDefinition{Name: "a", Check: &c}
	}
	target := func(t berth.CheckTarget) berth.ServiceDefinition {
		return withCheck(berth.CheckDefinition{CheckTarget: t})
	}
	for _, tc := range []struct {
		def    berth.ServiceDefinition
		status int
		text   string
	}{
		{berth.ServiceDefinition{ID: "x"}, 400, "Missing service name"},
		{berth.ServiceDefinition{Name: "a\x00b"}, 400, "zero bytes"},
		{berth.ServiceDefinition{Name: "web", Tags: []string{"\xff"}}, 400, "UTF-8"},
		{berth.ServiceDefinition{Name: "a", Address: "0.0.0.0"}, 400, "Invalid service address"},
		{berth.ServiceDefinition{Name: "a", Address: "::"}, 400, "Invalid service address"},
		{berth.ServiceDefinition{Name: "a", Weights: &berth.Weights{}}, 400, "Invalid Weights: Passing must be greater than 0"},
		{berth.ServiceDefinition{Name: "a", Weights: &berth.Weights{Passing: 1, Warning: 65536}}, 400, "Invalid Weights: DNS Weight must be between 0 and 65535"},
		{berth.ServiceDefinition{Name: "a", Meta: many}, 400, "Invalid Service Meta: Node metadata cannot contain more than 64 key/value pairs"},
		{berth.ServiceDefinition{Name: "a", Meta: map[string]string{"consul-x": "1"}}, 400, `Invalid Service Meta: Couldn't load metadata pair ("consul-x", "1"): Key prefix "consul-" is reserved for internal use`},
		{berth.ServiceDefinition{Name: "a", Meta: map[string]string{"berth-owner": "1"}}, 400, `reserved for internal use`},
		{berth.ServiceDefinition{Name: "a", Meta: map[string]string{"a b": "1"}}, 400, "Key contains invalid characters"},
		{berth.ServiceDefinition{Name: "a", Meta: map[string]string{"": "1"}}, 400, "Key cannot be blank"},
		{berth.ServiceDefinition{Name: "a", Meta: map[string]string{long[:129]: "1"}}, 400, "Key is too long (limit: 128 characters)"},
		{berth.ServiceDefinition{Name: "a", Meta: map[string]string{"a": long}}, 400, "Value is too long (limit: 512 characters)"},
		{berth.ServiceDefinition{Name: "a", SocketPath: "/s", Port: 1}, 400, "Validation failed: "},
		{berth.ServiceDefinition{Name: "a", Port: 70000}, 400, "Validation failed: "},
		{withCheck(berth.CheckDefinition{Status: "fine"}), 400, "Status for checks must 'passing', 'warning', 'critical'"},
		{target(berth.CheckTarget{HTTP: "http://x"}), 400, "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"},
		{target(berth.CheckTarget{HTTP: "http://x", TTL: sec, Interval: sec}), 400, "Invalid check: Interval and TTL cannot both be specified"},
		{target(berth.CheckTarget{}), 400, "Invalid check: TTL must be > 0 for TTL checks"},
		{target(berth.CheckTarget{AliasService: "x", Interval: sec}), 400, "Invalid check: Interval cannot be set for Alias checks"},
		{target(berth.CheckTarget{AliasService: "x", TTL: sec}), 400, "Invalid check: TTL must be not be set for Alias checks"},
		{target(berth.CheckTarget{AliasNode: "other"}), 400, "Invalid check: alias of node"},
		{target(berth.CheckTarget{TTL: sec, OutputMaxSize: -1}), 400, "Invalid check: MaxOutputMaxSize must be positive"},
		{withCheck(berth.CheckDefinition{CheckTarget: berth.CheckTarget{TTL: sec}, FailuresBeforeWarning: 3, FailuresBeforeCritical: 2}), 400, "Invalid check: FailuresBeforeWarning can't be higher than FailuresBeforeCritical"},
		{target(berth.CheckTarget{OSService: "x", Interval: sec}), 400, "not implemented on this platform"},
		{target(berth.CheckTarget{ScriptArgs: []string{"true"}, Interval: sec}), 500, "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true"},
		{target(berth.CheckTarget{DockerContainerID: "c", ScriptArgs: []string{"true"}, Interval: sec}), 500, "Scripts are disabled on this agent from remote calls"},
		{target(berth.CheckTarget{TTL: sec, OutputMaxSize: 1 << 40}), 400, "use at most 1048576 bytes"},
		{withCheck(berth.CheckDefinition{ID: "c\x00d", CheckTarget: berth.CheckTarget{TTL: sec}}), 400, "zero byte; take it out"},
		{withCheck(berth.CheckDefinition{Name: "c\x00d", CheckTarget: berth.CheckTarget{TTL: sec}}), 400, "zero byte; take it out"},
		{withCheck(berth.CheckDefinition{ID: "_node_maintenance", CheckTarget: berth.CheckTarget{TTL: sec}}), 400, "Invalid check: ID"},
	} {
		err := a.RegisterService(t.Context(), &tc.def, false)
		var invalid *berth.InvalidError
		if !errors.As(err, &invalid) || invalid.Status != tc.status || !strings.Contains(invalid.Text, tc.text) {
			t.Errorf("%+v: got %v, want %d %s", tc.def, err, tc.status, tc.text)
		}
	}
	testutil.Equal(t, len(a.Services())+len(a.Checks()), 0)
	a.shutdown()
}

func TestAgent_RegisterCheck_Refuses(t *testing.T) {
	a := newAgent(t, testConfig(newFake()))
	for text, def := range map[string]berth.CheckDefinition{
		"Missing check name":                            {ID: "x"},
		"Bad check status":                              {Name: "x", Status: "fine"},
		"Invalid check: TTL must be > 0 for TTL checks": {Name: "x"},
	} {
		if err := a.RegisterCheck(t.Context(), &def); err == nil || err.Error() != text {
			t.Errorf("got %v, want %s", err, text)
		}
	}
	a.shutdown()
}

func TestAgent_Scripts_FollowTheirSwitches(t *testing.T) {
	script := berth.ServiceDefinition{Name: "a", Check: &berth.CheckDefinition{CheckTarget: berth.CheckTarget{ScriptArgs: []string{"true"}, Interval: berth.Duration(time.Hour)}}}
	for _, tc := range []struct{ all, local, api, config bool }{
		{false, false, false, false}, {false, true, false, true}, {true, false, true, true},
	} {
		cfg := testConfig(newFake())
		cfg.EnableScriptChecks, cfg.EnableLocalScriptChecks = tc.all, tc.local
		a := newAgent(t, cfg)
		_, _, err := a.prepareService(&script, berth.SourceAPI)
		testutil.Equal(t, err == nil, tc.api)
		testutil.Equal(t, errors.Is(err, berth.ErrScriptsDisabled), !tc.api)
		err = a.Replace("config", []berth.ServiceDefinition{script})
		testutil.Equal(t, err == nil, tc.config)
		testutil.Equal(t, errors.Is(err, berth.ErrScriptsDisabled), !tc.config)
		a.shutdown()
	}
}

func TestAgent_Replace_LeavesOutOnlyWhatIsWrong(t *testing.T) {
	a := newAgent(t, testConfig(newFake()))
	set := []berth.ServiceDefinition{svc("a", 1), {ID: "nameless"}, svc("b", 1)}
	testutil.NoError(t, a.Replace("docker", set))
	testutil.Equal(t, len(a.Services()), 2)
	testutil.NoError(t, a.Replace("docker", nil))
	err := a.Replace("config", set)
	if err == nil || !strings.Contains(err.Error(), `"nameless"`) {
		t.Fatalf("got %v", err)
	}
	testutil.Equal(t, len(a.Services()), 2)
	if err := a.Replace("api", nil); err == nil {
		t.Fatal("the API's set was replaced")
	}
	a.shutdown()
}

func TestAgent_RegisterService_Completes(t *testing.T) {
	a := newAgent(t, testConfig(newFake()))
	testutil.NoError(t, a.Replace("config", []berth.ServiceDefinition{
		{Name: "four", Address: "10.1.1.1", Port: 80},
		{Name: "none"},
		{Name: "six", Address: "fd00::1", Port: 80, TaggedAddresses: map[string]berth.ServiceAddress{"wan_ipv6": {Address: "fd00::2", Port: 81}}},
	}))
	s := a.Services()
	testutil.Equal(t, s[0].TaggedAddresses, map[string]berth.ServiceAddress{"lan_ipv4": {Address: "10.1.1.1", Port: 80}, "wan_ipv4": {Address: "10.1.1.1", Port: 80}})
	testutil.Equal(t, *s[1], berth.ServiceInstance{Node: "n1", ID: "none", Name: "none", Weights: &berth.Weights{Passing: 1, Warning: 1}})
	testutil.Equal(t, s[2].TaggedAddresses, map[string]berth.ServiceAddress{"lan_ipv6": {Address: "fd00::1", Port: 80}, "wan_ipv6": {Address: "fd00::2", Port: 81}})
	a.shutdown()
}

// Consul accepts such a check, too; it must only say what is wrong with it.
func TestAgent_RegisterService_UnusableURLIsCritical(t *testing.T) {
	a := newAgent(t, testConfig(newFake()))
	testutil.NoError(t, a.Replace("config", []berth.ServiceDefinition{{Name: "a", Check: &berth.CheckDefinition{
		Status: "passing", CheckTarget: berth.CheckTarget{HTTP: "not a url", Interval: berth.Duration(time.Second)},
	}}}))
	c := a.Checks()[0]
	testutil.Equal(t, c.Status, "critical")
	if !strings.Contains(c.Output, "not a URL") {
		t.Fatalf("output: %s", c.Output)
	}
	a.shutdown()
}
