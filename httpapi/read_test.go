package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"berth"
	"berth/httpapi"
	"berth/internal/testutil"
)

// catalogOf fills a harness with three instances of web on nodes a, b and c.
func catalogOf(t testing.TB, change ...func(*httpapi.Config)) *harness {
	h := newHarness(t, change...)
	for i, node := range []string{"a", "b", "c"} {
		status := []string{"passing", "warning", "critical"}[i]
		h.want("PUT", "/v1/catalog/register", fmt.Sprintf(`{"Node":%q,"Address":"10.0.0.%d","NodeMeta":{"rack":"r%d"},
			"Service":{"Service":"web","Tags":["v%d","HTTP"],"Port":80,"Meta":{"team":"t%d"}},
			"Check":{"Name":"up","Status":%q,"ServiceID":"web"}}`, node, i+1, i%2, i, i, status), 200, "true")
	}
	return h
}

func nodesOf(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	var entries []struct {
		Node json.RawMessage
	}
	testutil.NoError(t, json.Unmarshal(w.Body.Bytes(), &entries))
	var names []string
	for _, e := range entries {
		var name string
		var full struct{ Node string }
		if json.Unmarshal(e.Node, &name) != nil {
			testutil.NoError(t, json.Unmarshal(e.Node, &full))
			name = full.Node
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestRead_Selection(t *testing.T) {
	h := catalogOf(t)
	for path, want := range map[string]string{
		"/v1/catalog/nodes":                                                             "a b c n1",
		"/v1/catalog/nodes?node-meta=rack:r0":                                           "a c",
		"/v1/catalog/nodes?node-meta=rack:r0&node-meta=zone:z":                          "",
		`/v1/catalog/nodes?filter=Meta.rack=="r1"`:                                      "b",
		`/v1/catalog/nodes?filter=Meta.rack!="r1"`:                                      "a c n1",
		`/v1/catalog/nodes?filter=rack+in+Meta`:                                         "a b c",
		"/v1/catalog/service/web":                                                       "a b c",
		"/v1/catalog/service/web?tag=http":                                              "a b c",
		"/v1/catalog/service/web?tag=http&tag=V1":                                       "b",
		"/v1/catalog/service/web?tag=nope":                                              "",
		`/v1/catalog/service/web?filter=v2+in+ServiceTags`:                              "c",
		`/v1/catalog/service/web?filter=ServiceMeta.team=="t0"+or+Node=="c"`:            "a c",
		"/v1/health/service/web":                                                        "a b c",
		"/v1/health/service/web?passing":                                                "a",
		"/v1/health/service/web?passing=true":                                           "a",
		"/v1/health/service/web?passing=0":                                              "a b c",
		`/v1/health/service/web?filter=Service.Meta.team=="t1"`:                         "b",
		`/v1/health/service/web?filter=Checks.Status=="critical"`:                       "c",
		`/v1/health/service/web?filter=Node.Meta.rack==r0+and+Checks.Name=="up"`:        "a c",
		`/v1/health/service/web?filter=not+(Checks.Status=="critical")`:                 "a b",
		`/v1/health/service/web?filter=Checks+is+not+empty+and+Service.Port+!=+81`:      "a b c",
		`/v1/health/service/web?filter=Service.Tags+contains+"v0"`:                      "a",
		"/v1/health/service/web?filter=Node.Address+matches+`^10\\.0\\.0\\.[12]$`":      "a b",
		`/v1/health/service/web?filter=any+Checks+as+c+{+c.Status=="warning"+}`:         "b",
		`/v1/health/service/web?filter=all+Checks+as+c+{+c.Status+!=+"critical"+}`:      "a b",
		"/v1/health/checks/web?node-meta=rack:r1":                                       "b",
		"/v1/health/node/a":                                                             "a",
		"/v1/health/state/warning":                                                      "b",
		"/v1/health/state/any":                                                          "a b c n1",
		`/v1/health/state/any?filter=ServiceName=="web"+and+Status!="passing"`:          "b c",
		"/v1/health/state/nonsense":                                                     "",
		"/v1/health/service/none":                                                       "",
		`/v1/health/service/web?filter=Service.Weights.Passing==1+and+Node.ID==""`:      "a b c",
		`/v1/health/service/web?filter=Checks.ServiceTags+contains+"v2"`:                "c",
		`/v1/health/service/web?filter=Checks.Output+is+empty+and+"v0"+in+Service.Tags`: "a",
	} {
		w := h.want("GET", strings.ReplaceAll(path, " ", "%20"), "", 200, "")
		if got := nodesOf(t, w); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
		if strings.HasPrefix(w.Body.String(), "null") {
			t.Errorf("%s: answered null", path)
		}
	}
	h.want("GET", `/v1/catalog/services?filter=ServiceName=="web"`, "", 200, `{"web":["HTTP","v0","v1","v2"]}`)
	// A filter selects instances; tags are those of the instances that it leaves.
	h.want("GET", `/v1/catalog/services?filter=NodeMeta.rack==r1`, "", 200, `{"web":[`)
	h.want("GET", `/v1/catalog/services?filter="v2"+in+ServiceTags+and+Node=="c"`, "", 200, `{"web":["HTTP","v2"]}`)
	h.want("GET", `/v1/catalog/services?filter=NodeMeta.rack==none`, "", 200, `{}`)
	h.want("GET", `/v1/catalog/node/a?filter=Port==81`, "", 200, `"Services":{}`)
	h.want("GET", `/v1/catalog/node-services/a?filter=Port==80`, "", 200, `"Service":"web"`)
}

func TestRead_BadFilterIsTheClientsMistake(t *testing.T) {
	h := catalogOf(t)
	for _, path := range []string{"/v1/catalog/nodes", "/v1/catalog/services", "/v1/catalog/service/none", "/v1/catalog/node/none", "/v1/catalog/node-services/a",
		"/v1/health/service/none", "/v1/health/node/a", "/v1/health/checks/web", "/v1/health/state/any", "/v1/agent/services", "/v1/agent/checks",
		"/v1/agent/members", "/v1/session/list", "/v1/coordinate/nodes"} {
		for _, filter := range []string{"((", `Nope=="x"`, `Node.Nope.Deeper=="x"`} {
			h.want("GET", path+"?filter="+filter, "", 400, "Failed to create boolean expression evaluator:")
		}
	}
}

func TestRead_ParameterErrors(t *testing.T) {
	h := newHarness(t)
	for path, text := range map[string]string{
		"/v1/catalog/nodes?index=abc":            "Invalid index",
		"/v1/catalog/nodes?index=-1":             "Invalid index",
		"/v1/catalog/nodes?wait=xx":              "Invalid wait time",
		"/v1/kv/a?wait=-5s":                      "Invalid wait time",
		"/v1/catalog/nodes?max_stale=x":          `Invalid max_stale value "x"`,
		"/v1/catalog/nodes?stale&consistent":     "Cannot specify ?stale with ?consistent, conflicting semantics.",
		"/v1/catalog/services?cached&consistent": "Cannot specify ?cached with ?consistent, conflicting semantics.",
		"/v1/health/service/a?passing=maybe":     "Invalid value for ?passing",
		"/v1/health/service/":                    "Missing service name",
		"/v1/catalog/service/":                   "Missing service name",
		"/v1/catalog/node/":                      "Missing node name",
		"/v1/catalog/node-services/":             "Missing node name",
		"/v1/health/node/":                       "Missing node name",
		"/v1/health/checks/":                     "Missing service name",
		"/v1/health/state/":                      "Missing check state",
		"/v1/session/info/":                      "Missing session",
		"/v1/session/node/":                      "Missing node name",
		"/v1/event/list?index=x":                 "Invalid index",
		"/v1/agent/members?wan=1&segment=x":      "Cannot provide a segment with wan=true",
		"/v1/agent/monitor?loglevel=loud":        "Unknown log level: loud",
		"/v1/operator/keyring?relay-factor=6":    "Relay factor 6 is not between 0 and 5",
		"/v1/agent/health/service/id/":           "Missing serviceID",
		"/v1/agent/health/service/name/":         "Missing service Name",
		"/v1/query/q/execute?connect=true":       "not supported",
	} {
		h.want("GET", path, "", 400, text)
	}
	h.want("GET", "/v1/catalog/services?cached", "", 400, "Invalid Cache-Control header.", "Cache-Control", "max-age=x")
}

func TestRead_Headers(t *testing.T) {
	h := catalogOf(t)
	w := h.want("GET", "/v1/catalog/services?cached", "", 200, "", "Cache-Control", "max-age=30, stale-if-error=60")
	testutil.Equal(t, w.Header().Get("X-Cache"), "HIT")
	testutil.Equal(t, w.Header().Get("Age"), "0")
	testutil.Equal(t, h.store.lastRoute.Load().MaxStale, 30*time.Second)
	w = h.want("GET", "/v1/catalog/services?cached", "", 200, "", "Cache-Control", "must-revalidate")
	testutil.Equal(t, w.Header().Get("X-Cache"), "MISS")
	testutil.Equal(t, w.Header().Get("X-Consul-Effective-Consistency"), "leader")
	w = h.want("GET", "/v1/kv/none", "", 404, "")
	testutil.Equal(t, w.Header().Values("Content-Type"), []string(nil))
	for _, name := range []string{"X-Consul-Index", "X-Consul-Knownleader", "X-Consul-Lastcontact", "X-Consul-Query-Backend"} {
		if w.Header().Get(name) == "" {
			t.Errorf("header %s is missing", name)
		}
	}
	off := catalogOf(t, func(c *httpapi.Config) { c.NoCache = true; c.DiscoveryMaxStale = time.Minute })
	w = off.want("GET", "/v1/catalog/services?cached", "", 200, "")
	testutil.Equal(t, w.Header().Get("X-Cache"), "")
	testutil.Equal(t, w.Header().Get("X-Consul-Effective-Consistency"), "stale")
	testutil.Equal(t, off.store.lastRoute.Load().MaxStale, time.Minute)
	w = off.want("GET", "/v1/catalog/services?leader", "", 200, "")
	testutil.Equal(t, w.Header().Get("X-Consul-Effective-Consistency"), "leader")
}

func TestRead_NearReachesTheStore(t *testing.T) {
	h := catalogOf(t)
	for _, c := range []struct{ near, from, want string }{{"b", "", "b"}, {"_agent", "", "n1"}, {"_ip", "10.0.0.2", "b"}, {"_ip", "10.9.9.9", ""}} {
		h.want("GET", "/v1/health/service/web?near="+c.near, "", 200, "", "X-Forwarded-For", c.from)
		testutil.Equal(t, h.store.lastNear, c.want)
	}
	h.want("POST", "/v1/query", `{"Name":"q","Service":{"Service":"web"}}`, 200, "ID")
	h.want("GET", "/v1/query/q/execute?near=_agent", "", 200, `"Service":"web"`)
	testutil.Equal(t, h.store.lastNear, "n1")
	h.want("GET", "/v1/query/q/execute", "", 200, "", "X-Forwarded-For", "10.0.0.2", "X-Berth-Agent", "spoof")
	testutil.Equal(t, h.store.lastSource, berth.QuerySource{Agent: "n1", IP: netip.MustParseAddr("10.0.0.2")})
}

func TestRead_BlocksUntilTheIndexMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := catalogOf(t)
		index := h.do("GET", "/v1/health/service/web", "").Header().Get("X-Consul-Index")
		done := make(chan string)
		go func() {
			done <- nodesOf(t, h.do("GET", "/v1/health/service/web?index="+index+"&wait=1m", ""))
		}()
		synctest.Wait()
		select {
		case got := <-done:
			t.Fatalf("answered %q before anything changed", got)
		default:
		}
		h.want("PUT", "/v1/catalog/deregister", `{"Node":"a"}`, 200, "true")
		testutil.Equal(t, <-done, "b c")

		start := time.Now()
		w := h.do("GET", "/v1/health/service/web?index=9999&wait=1m", "")
		if waited := time.Since(start); w.Code != 200 || waited < time.Minute || waited > 70*time.Second {
			t.Fatalf("status %d after %v, want 200 after a minute", w.Code, waited)
		}
	})
}

func TestRead_WaitIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		for query, want := range map[string]time.Duration{"": 5 * time.Minute, "&wait=100h": 10 * time.Minute, "&wait=0s": 5 * time.Minute, "&wait=2s": 2 * time.Second} {
			start := time.Now()
			h.want("GET", "/v1/kv/a?index=9999"+query, "", 404, "")
			testutil.Equal(t, time.Since(start), want)
		}
	})
}

func TestEvents_WaitForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		testutil.Equal(t, h.want("GET", "/v1/event/list", "", 200, "[]").Header().Get("X-Consul-Index"), "1")
		done := make(chan *httptest.ResponseRecorder)
		go func() { done <- h.do("GET", "/v1/event/list?index=1&name=deploy", "") }()
		h.want("PUT", "/v1/event/fire/other", "", 200, `"Payload":null`)
		synctest.Wait()
		h.want("PUT", "/v1/event/fire/deploy?node=n.*&service=web&tag=v1", "v2", 200, `"NodeFilter":"n.*"`)
		w := <-done
		if !strings.Contains(w.Body.String(), `"Name":"deploy","Payload":"djI="`) || strings.Contains(w.Body.String(), "other") {
			t.Fatalf("answered %s", w.Body)
		}
		index := w.Header().Get("X-Consul-Index")
		testutil.Equal(t, h.do("GET", "/v1/event/list?name=deploy", "").Header().Get("X-Consul-Index"), index)
		start := time.Now()
		h.want("GET", "/v1/event/list?name=deploy&wait=10s&index="+index, "", 200, "deploy")
		if waited := time.Since(start); waited < 10*time.Second || waited > 11*time.Second {
			t.Fatalf("waited %v, want 10 s and a little", waited)
		}
	})
	h := newHarness(t)
	h.want("PUT", "/v1/event/fire/", "", 400, "Missing name")
	h.want("PUT", "/v1/event/fire/a?tag=x", "", 500, "Cannot provide tag filter without service filter")
	h.want("PUT", "/v1/event/fire/a?node=((", "", 500, "Invalid node filter")
}

func TestAgentService_WaitsForAnotherHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.want("PUT", "/v1/agent/service/register", `{"Name":"web","Port":1}`, 200, "")
		hash := h.do("GET", "/v1/agent/service/web", "").Header().Get("X-Consul-Contenthash")
		done := make(chan string)
		go func() { done <- h.do("GET", "/v1/agent/service/web?hash="+hash, "").Body.String() }()
		h.want("PUT", "/v1/agent/service/register", `{"Name":"other"}`, 200, "")
		synctest.Wait()
		h.want("PUT", "/v1/agent/service/register", `{"Name":"web","Port":2}`, 200, "")
		if got := <-done; !strings.Contains(got, `"Port":2`) || strings.Contains(got, hash) {
			t.Fatalf("answered %s", got)
		}
		h.want("GET", "/v1/agent/service/web?hash="+hash, "", 200, `"Port":2`)
		go func() {
			done <- h.do("GET", "/v1/agent/service/other?hash="+h.do("GET", "/v1/agent/service/other", "").Header().Get("X-Consul-Contenthash"), "").Body.String()
		}()
		synctest.Wait()
		h.want("PUT", "/v1/agent/service/deregister/other", "", 200, "")
		testutil.Equal(t, <-done, "unknown service ID: other")
	})
}

// A read that waits when the server stops is answered with what there is.
func TestServer_StopAnswersWaitingReads(t *testing.T) {
	h := catalogOf(t, func(c *httpapi.Config) { c.Addrs = []string{"127.0.0.1:0"} })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- h.srv.Run(ctx) }()
	url := "http://" + h.srv.Addrs()[0].String()
	type result struct {
		status int
		body   string
	}
	answer := make(chan result, 1)
	go func() {
		r, body := get(t, url+"/v1/catalog/service/web?index=9999&wait=5m")
		answer <- result{r, body}
	}()
	testutil.Eventually(t, 5*time.Second, 5*time.Millisecond, func() error {
		h.store.mu.Lock()
		defer h.store.mu.Unlock()
		if h.store.waiting == 0 {
			return fmt.Errorf("the read does not wait yet")
		}
		return nil
	})
	cancel()
	got := <-answer
	if got.status != 200 || !strings.Contains(got.body, `"Node":"a"`) {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	testutil.NoError(t, <-ended)
}
