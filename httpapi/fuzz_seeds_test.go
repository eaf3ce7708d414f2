package httpapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"

	"berth"
	"berth/httpapi"
	"berth/internal/testutil"
)

const fuzzedSession = "00000000-0000-4000-8000-00000000abcd"

// fuzzedRequests are well-formed requests that reach each handler of a populated harness: what
// fuzzing begins with.
var fuzzedRequests = []struct{ method, target, body string }{
	{"PUT", "/v1/agent/service/register?replace-existing-checks=true", `{"Name":"web","ID":"w1","Port":80,"Tags":["a"],"Meta":{"k":"v"},"Address":"10.0.0.1","TaggedAddresses":{"wan":{"Address":"1.2.3.4","Port":80}},
		"Weights":{"Passing":2,"Warning":1},"Checks":[{"TTL":"10s","Status":"passing"},{"http":"http://x","interval":"10s","timeout":"1s","Header":{"a":["b"]}}],"enable_tag_override":true}`},
	{"PUT", "/v1/agent/check/register", `{"Name":"c2","ServiceID":"w1","TCP":"x:1","Interval":"1s","DeregisterCriticalServiceAfter":"1m","FailuresBeforeCritical":2,"SuccessBeforePassing":1}`},
	{"PUT", "/v1/agent/check/register", `{"Name":"alias","alias_service":"w1"}`},
	{"PUT", "/v1/agent/check/update/own", `{"Status":"warning","Output":"x"}`},
	{"PUT", "/v1/agent/check/pass/own?note=a", ""}, {"PUT", "/v1/agent/check/warn/own", ""}, {"PUT", "/v1/agent/check/fail/own", ""},
	{"PUT", "/v1/agent/service/maintenance/w1?enable=true&reason=x", ""}, {"PUT", "/v1/agent/maintenance?enable=false", ""},
	{"PUT", "/v1/agent/join/127.0.0.1?wan=1", ""}, {"PUT", "/v1/agent/leave", ""}, {"PUT", "/v1/agent/force-leave/dead?prune", ""}, {"PUT", "/v1/agent/reload", ""},
	{"PUT", "/v1/agent/token/default", `{"Token":"t"}`},
	{"GET", "/v1/agent/self", ""}, {"GET", "/v1/agent/version", ""}, {"GET", "/v1/agent/host", ""}, {"GET", "/v1/agent/members?wan=1&filter=Name==n1", ""},
	{"GET", "/v1/agent/services?filter=Service==web", ""}, {"GET", "/v1/agent/service/w1?hash=a", ""}, {"GET", "/v1/agent/checks?filter=Status==passing", ""},
	{"GET", "/v1/agent/health/service/id/w1?format=text", ""}, {"GET", "/v1/agent/health/service/name/web", ""},
	{"GET", "/v1/agent/metrics?format=prometheus", ""}, {"GET", "/v1/agent/metrics/stream", ""}, {"GET", "/v1/agent/monitor?loglevel=warn&logjson", ""}, {"GET", "/v1/agent/explain", ""},
	{"PUT", "/v1/catalog/register", `{"Node":"b","ID":"d3fa51fb-8f33-f417-dbf0-67cb061934c4","Address":"1.1.1.2","NodeMeta":{"k":"v"},"TaggedAddresses":{"lan":"1.1.1.2"},"Service":{"Service":"web","Port":80,"Tags":["a"]},
		"Checks":[{"Name":"c","ServiceID":"web","Status":"passing","Definition":{"HTTP":"http://x","Interval":"10s"}}]}`},
	{"PUT", "/v1/catalog/deregister", `{"Datacenter":"dc1","Node":"b","CheckID":"c"}`},
	{"GET", "/v1/catalog/datacenters", ""}, {"GET", "/v1/catalog/nodes?near=n1&node-meta=k:v", ""}, {"GET", "/v1/catalog/services?filter=ServicePort==80&cached", ""},
	{"GET", "/v1/catalog/service/web?tag=a&near=_agent&cached&filter=ServicePort==80", ""}, {"GET", "/v1/catalog/node/n1?filter=Service==web", ""}, {"GET", "/v1/catalog/node-services/n1", ""},
	{"GET", "/v1/health/service/web?passing&tag=a&filter=Service.Port==80", ""}, {"GET", "/v1/health/node/n1", ""}, {"GET", "/v1/health/checks/web?node-meta=k:v", ""}, {"GET", "/v1/health/state/any?near=_agent", ""},
	{"GET", "/v1/kv/dir/?recurse", ""}, {"GET", "/v1/kv/dir/?keys&separator=/", ""}, {"GET", "/v1/kv/dir/a?raw", ""}, {"GET", "/v1/kv/dir/a?index=1&wait=1s&stale", ""},
	{"PUT", "/v1/kv/dir/b?flags=3&cas=0", "v"}, {"PUT", "/v1/kv/dir/c?acquire=" + fuzzedSession, "v"}, {"PUT", "/v1/kv/dir/c?release=" + fuzzedSession, "v"}, {"DELETE", "/v1/kv/none?recurse", ""}, {"DELETE", "/v1/kv/none?cas=7", ""},
	{"PUT", "/v1/session/create?dc=dc1", `{"Name":"s","LockDelay":"15s","TTL":"10s","Behavior":"delete","NodeChecks":["serfHealth"],"ServiceChecks":[{"ID":"c"}]}`}, {"PUT", "/v1/session/create", ""},
	{"PUT", "/v1/session/renew/" + fuzzedSession, ""}, {"GET", "/v1/session/info/" + fuzzedSession, ""}, {"GET", "/v1/session/node/n1", ""}, {"GET", "/v1/session/list", ""}, {"PUT", "/v1/session/destroy/none", ""},
	{"PUT", "/v1/event/fire/deploy?node=n.*&service=web&tag=a", "payload"}, {"GET", "/v1/event/list?name=deploy", ""},
	{"PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"dir/t","Value":"YQ==","Flags":1}},{"Node":{"Verb":"set","Node":{"Node":"t","Address":"1.1.1.1"}}},{"Service":{"Verb":"set","Node":"t","Service":{"Service":"s","Port":1}}},
		{"Check":{"Verb":"set","Check":{"Node":"t","CheckID":"c","Status":"passing"}}},{"Session":{"Verb":"delete","Session":{"ID":"x"}}}]`},
	{"PUT", "/v1/txn?stale", `[{"KV":{"Verb":"get","Key":"dir/a"}},{"KV":{"Verb":"get-tree","Key":"dir"}}]`},
	{"PUT", "/v1/coordinate/update", `{"Node":"n1","Coord":{"Vec":[0,0,0,0,0,0,0,0],"Error":1,"Adjustment":0,"Height":0.1}}`},
	{"GET", "/v1/coordinate/datacenters", ""}, {"GET", "/v1/coordinate/nodes?segment=", ""}, {"GET", "/v1/coordinate/node/n1", ""},
	{"POST", "/v1/query", `{"Name":"q2","Service":{"Service":"web","Failover":{"NearestN":2,"Datacenters":["dc2"]},"OnlyPassing":true,"Tags":["!a"],"NodeMeta":{"k":"v"}},"DNS":{"TTL":"5s"}}`},
	{"POST", "/v1/query", `{"Name":"","Template":{"Type":"name_prefix_match","Regexp":"^(.*)$"},"Service":{"Service":"${match(1)}"}}`},
	{"GET", "/v1/query", ""}, {"GET", "/v1/query/q", ""}, {"GET", "/v1/query/q/execute?near=_agent&limit=2", ""}, {"GET", "/v1/query/q/explain", ""},
	{"PUT", "/v1/query/q", `{"Name":"q","Service":{"Service":"web"}}`}, {"DELETE", "/v1/query/none", ""},
	{"GET", "/v1/operator/raft/configuration?stale", ""}, {"POST", "/v1/operator/raft/transfer-leader?id=a", ""}, {"DELETE", "/v1/operator/raft/peer?address=10.0.0.9:8300", ""},
	{"GET", "/v1/operator/keyring?local-only=true&relay-factor=2", ""}, {"POST", "/v1/operator/keyring", `{"Key":"pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="}`},
	{"PUT", "/v1/operator/keyring", `{"Key":"pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="}`}, {"DELETE", "/v1/operator/keyring", `{"Key":"pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="}`},
	{"GET", "/v1/operator/autopilot/configuration", ""}, {"PUT", "/v1/operator/autopilot/configuration?cas=4", `{"LastContactThreshold":"200ms","ServerStabilizationTime":"10s","MaxTrailingLogs":250,"MinQuorum":0}`},
	{"GET", "/v1/operator/autopilot/health", ""}, {"GET", "/v1/operator/autopilot/state", ""}, {"GET", "/v1/operator/usage?global", ""},
	{"GET", "/v1/snapshot", ""}, {"PUT", "/v1/snapshot", "archive"}, {"GET", "/v1/status/leader", ""}, {"GET", "/v1/status/peers?dc=dc1", ""},
}

// populate puts what the requests above ask for into the harness, through its API where it can.
func (h *harness) populate(t testing.TB) {
	t.Helper()
	for _, r := range [][3]string{
		{"PUT", "/v1/agent/service/register", `{"Name":"web","ID":"w1","Port":80,"Tags":["a"],"Check":{"TTL":"10s","Status":"passing"}}`},
		{"PUT", "/v1/agent/check/register", `{"Name":"own","TTL":"10s","Status":"passing"}`},
		{"PUT", "/v1/catalog/register", `{"Node":"b","Address":"1.1.1.2","NodeMeta":{"k":"v"},"Service":{"Service":"web","Port":80,"Tags":["a"]},"Check":{"Name":"c","Status":"passing"}}`},
		{"PUT", "/v1/kv/dir/a", "v"},
	} {
		h.survives(t, r[0], r[1], r[2], http.Header{})
	}
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	h.store.sessions[fuzzedSession] = &berth.Session{ID: fuzzedSession, Node: "n1"}
	h.store.queries["q"] = &berth.PreparedQuery{ID: "q", Name: "q", Service: berth.ServiceQuery{Service: "web"}}
}

// everything gives a server all that an agent can have, so that no handler stops early.
func everything(c *httpapi.Config) {
	c.Metrics, c.Gatherer = endingMetrics{}, prometheus.NewRegistry()
	c.Logs, c.Explainer, c.Tokens = &logTap{}, explainer{}, takesTokens{}
	c.Reload = func(context.Context) error { return nil }
}

type takesTokens struct{}

func (takesTokens) UserToken() string             { return "" }
func (takesTokens) SetToken(string, string) error { return nil }

// endingMetrics streams one interval.
type endingMetrics struct{}

func (endingMetrics) DisplayMetrics(http.ResponseWriter, *http.Request) (any, error) {
	return metrics.MetricsSummary{}, nil
}

func (endingMetrics) Stream(_ context.Context, e metrics.Encoder) { _ = e.Encode(struct{}{}) }

// What fuzzing begins with is an answer from each handler, not a refusal on the way to it.
func TestFuzz_SeedsReachEveryHandler(t *testing.T) {
	h := newHarness(t, everything)
	h.populate(t)
	var missing []string
	for _, r := range httpapi.Routes() {
		for method := range strings.SplitSeq(r.Methods, ",") {
			if !strings.HasPrefix(r.Path, "/v1/acl/") {
				missing = append(missing, method+" "+r.Path)
			}
		}
	}
	for _, r := range fuzzedRequests {
		w := h.do(r.method, r.target, r.body)
		asked := httptest.NewRequestWithContext(t.Context(), r.method, r.target, nil)
		health := strings.Contains(r.target, "/health/") // whose status is the answer
		if w.Code/100 != 2 && !health {
			t.Errorf("%s %s: %d %s", r.method, r.target, w.Code, w.Body)
			continue
		}
		route := r.method + " " + httpapi.RouteOf(asked).Path
		missing = slices.DeleteFunc(missing, func(m string) bool { return m == route })
	}
	testutil.Equal(t, missing, []string{"PUT /v1/agent/service/deregister/", "PUT /v1/agent/check/deregister/"}) // would take away what others ask for
}
