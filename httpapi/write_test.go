package httpapi_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"berth"
	"berth/httpapi"
	"berth/internal/testutil"
)

func TestCatalogRegister_Refusals(t *testing.T) {
	h := newHarness(t)
	for body, want := range map[string]string{
		`{"Address":"1.1.1.1"}`: "500 Must provide node",
		`{"Node":"a"}`:          "500 Must provide address if SkipNodeUpdate is not set",
		`{"Node":"a","Address":"1.1.1.1","Service":{}}`:                                  "500 Must provide service name (Service.Service)",
		`{"Node":"a","Address":"1.1.1.1","Service":{"ID":"x"}}`:                          "500 Must provide service name (Service.Service) when service ID is provided",
		`{"Node":"a","Address":"1.1.1.1","Service":{"Service":"x","Address":"0.0.0.0"}}`: "500 Invalid service address",
		`{"Node":"a","Address":"1.1.1.1","Check":{"Name":"c","Node":"b"}}`:               "500 Node 'b' for check 'c' doesn't match register request node 'a'",
		`{"Node":"a","Address":"1.1.1.1","Service":{"Service":"x","Bogus":1}}`:           `400 Request decode failed: json: unknown field "Bogus"`,
		`[]`: "400 Request decode failed: ",
		``:   "400 Request decode failed: EOF",
		`{"Node":"a","Address":"1.1.1.1","Service":{"ID":"x","Service":"x","Proxy":{"Mode":""},"Connect":{},"PeerName":"","Datacenter":"dc1","Locality":null},
			"Check":{"Name":"c","Definition":{"Interval":"10s","Nonsense":1}}}`: "200 true",
	} {
		w := h.do("PUT", "/v1/catalog/register", body)
		if got := fmt.Sprintf("%d %s", w.Code, w.Body); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
	h.want("GET", "/v1/health/node/a", "", 200, `"CheckID":"c","Name":"c","Status":"critical"`)
	h.want("PUT", "/v1/catalog/register", `{"Node":"a","Address":"1.1.1.1","Service":{"Service":"zero","Weights":{"Passing":0,"Warning":0}}}`, 200, "true")
	h.want("GET", "/v1/health/service/zero", "", 200, `"Weights":{"Passing":1,"Warning":1}`)
	h.want("GET", "/v1/health/node/a", "", 200, `"Definition":{"Interval":"10s"}`)
}

func TestKV_Forms(t *testing.T) {
	h := newHarness(t)
	h.want("PUT", "/v1/kv/a/b%2Fc%20d?flags=18446744073709551615", "v1", 200, "true")
	h.want("GET", "/v1/kv/a/b/c%20d", "", 200, `"Key":"a/b/c d","Flags":18446744073709551615,"Value":"djE="`)
	h.want("PUT", "/v1/kv/empty", "", 200, "true")
	h.want("GET", "/v1/kv/empty", "", 200, `"Value":null`)
	w := h.want("GET", "/v1/kv/a/b/c%20d?raw", "", 200, "v1")
	testutil.Equal(t, w.Header().Get("X-Content-Type-Options")+" "+w.Header().Get("Content-Security-Policy"), "nosniff sandbox")
	h.want("GET", "/v1/kv/a/?keys&seperator=/", "", 200, `["a/b/"]`)
	h.want("GET", "/v1/kv/none?keys", "", 404, "")
	h.want("GET", "/v1/kv/", "", 400, "Missing key name")
	h.want("PUT", "/v1/kv/a?cas=x", "v", 500, "strconv.ParseUint")
	h.want("PUT", "/v1/kv/a?release=x&acquire=y", "v", 400, "Conflicting flags: acquire=y&release=x\n")
	h.want("DELETE", "/v1/kv/", "", 400, "Missing key name")
	h.want("DELETE", "/v1/kv/a?recurse&cas=1", "", 400, "Conflicting flags: cas=1&recurse=\n")
	h.want("DELETE", "/v1/kv/empty?cas=0", "", 200, "false")
	h.want("DELETE", "/v1/kv/empty?cas=x", "", 500, "strconv.ParseUint")
	h.want("DELETE", "/v1/kv/?recurse", "", 200, "true")
	h.want("GET", "/v1/kv/?recurse", "", 404, "")
}

func TestKV_TooLarge(t *testing.T) {
	h := newHarness(t, func(c *httpapi.Config) { c.Limits.KVMaxValueSize = 100 })
	h.want("PUT", "/v1/kv/a", strings.Repeat("v", 100), 200, "true")
	h.want("PUT", "/v1/kv/a", strings.Repeat("v", 101), 413, "Request body(101 bytes) too large, max size: 100 bytes. See https://developer.hashicorp.com/docs/agent/config/config-files#kv_max_value_size.")

	r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/kv/a", io.LimitReader(endless{}, 1<<30))
	r.ContentLength = -1 // chunked
	w := httptest.NewRecorder()
	h.h.ServeHTTP(w, r)
	if w.Code != 413 || !strings.Contains(w.Body.String(), "Request body too large, max size: 100 bytes.") {
		t.Fatalf("chunked body: %d %s", w.Code, w.Body)
	}
	h.want("GET", "/v1/kv/a?raw", "", 200, strings.Repeat("v", 100))
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestSession_Create(t *testing.T) {
	h := newHarness(t)
	for _, c := range []struct {
		body   string
		status int
		text   string
	}{
		{``, 200, "ID"},
		{`{"LockDelay":"5s"}`, 200, "ID"}, {`{"LockDelay":20}`, 200, "ID"}, {`{"LockDelay":20000000000}`, 200, "ID"}, {`{"Unknown":1}`, 200, "ID"},
		{`{"LockDelay":"61s"}`, 500, "Invalid lock delay 1m1s"}, {`{"LockDelay":"x"}`, 400, "Request decode failed"}, {`{"LockDelay":""}`, 400, "LockDelay is empty"},
		{`{"TTL":"1s"}`, 500, "Invalid Session TTL '1000000000', must be between [10s=24h0m0s]"}, {`{"TTL":"25h"}`, 500, "Invalid Session TTL"},
		{`{"TTL":"x"}`, 500, "Session TTL 'x' invalid"}, {`{"Behavior":"x"}`, 500, "Invalid Behavior setting 'x'"},
		{`{"NodeChecks":["none"]}`, 500, "Missing check 'none' registration"}, {`{"Checks":["none"]}`, 500, "Missing check 'none'"},
		{`{"NodeChecks":[],"Node":"n1","Behavior":"delete"}`, 200, "ID"}, {`{`, 400, "Request decode failed"},
	} {
		h.want("PUT", "/v1/session/create", c.body, c.status, c.text)
	}
	h.want("GET", "/v1/session/list", "", 200, `"LockDelay":20000000000`)
	h.want("GET", "/v1/session/list", "", 200, `"NodeChecks":[],"ServiceChecks":null`)
	h.want("GET", `/v1/session/list?filter=Behavior=="delete"`, "", 200, `[{"ID":`)
	h.want("GET", "/v1/session/node/other", "", 200, "[]")
	h.want("PUT", "/v1/session/destroy/", "", 400, "Missing session")
	h.want("PUT", "/v1/session/renew/", "", 400, "Missing session")
	client := newHarness(t, func(c *httpapi.Config) { c.Self.Server = false })
	client.want("PUT", "/v1/session/create?dc=dc2", "", 500, "cross datacenter lock must be created at server agent")
}

// A chunked body counts like any other.
func TestSession_CreateReadsChunkedBodies(t *testing.T) {
	h := newHarness(t)
	web := httptest.NewServer(h.h)
	defer web.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, web.URL+"/v1/session/create", io.MultiReader(strings.NewReader(`{"Name":"chunky"}`)))
	testutil.NoError(t, err)
	response, err := web.Client().Do(r)
	testutil.NoError(t, err)
	testutil.NoError(t, response.Body.Close())
	h.want("GET", "/v1/session/list", "", 200, `"Name":"chunky"`)
}

func TestTxn_Forms(t *testing.T) {
	h := newHarness(t, func(c *httpapi.Config) { c.Limits.KVMaxValueSize = 64; c.Limits.TxnMaxRequestLen = 16 << 10 })
	many := "[" + strings.Repeat(`{"KV":{"Verb":"get","Key":"a"}},`, 128) + `{"KV":{"Verb":"get","Key":"a"}}]`
	for _, c := range []struct {
		body   string
		status int
		text   string
	}{
		{many, 413, "Transaction contains too many operations (129 > 128)"},
		{`[{"KV":{"Verb":"set","Key":"k","Value":"` + strings.Repeat("QUFB", 22) + `"}}]`, 413, `Value for key "k" is too large (66 > 64 bytes)`},
		{strings.Repeat(" ", 16<<10+1), 413, "#txn_max_req_len."},
		{`{`, 400, "Failed to parse body: "}, {`[{"KV":{"Nope":1}}]`, 400, `unknown field "Nope"`}, {`[{}]`, 400, "operation 0"},
		{`[{"Node":{"Verb":"lock","Node":{"Node":"a"}}}]`, 409, `unknown Node operation \"lock\"`},
		{`[{"Service":{"Verb":"zap","Node":"a","Service":{"Service":"b"}}}]`, 409, `unknown Service operation`},
		{`[{"Check":{"Verb":"zap","Check":{"Node":"a"}}}]`, 409, `unknown Check operation`},
		{`[{"Session":{"Verb":"zap","Session":{"ID":"a"}}}]`, 409, `unknown Session operation`},
		{`[{"KV":{"Verb":"get","Key":"none"}}]`, 409, `"Errors":[{"OpIndex":0,"What":"key \"none\" doesn't exist"}]`},
		{`[{"Node":{"Verb":"get","Node":{"Node":"a","Address":"1.1.1.1"}}},{"Service":{"Verb":"set","Node":"a","Service":{"ID":"s","Service":"s"}}},
			{"Check":{"Verb":"get","Check":{"Node":"a","CheckID":"c"}}}]`, 200, `"Service":{"ID":"s","Service":"s","Tags":[]`},
		// What clients send that have nothing to say about weights, and about the kind of a check.
		{`[{"Service":{"Verb":"set","Node":"a","Service":{"ID":"s","Service":"s","Weights":{"Passing":0,"Warning":0}}}}]`, 200, `"Weights":{"Passing":1,"Warning":1}`},
		{`[{"Check":{"Verb":"set","Check":{"Node":"a","CheckID":"c","Name":"c","Definition":{"TCP":"h:1"}}}}]`, 200, `"Type":"tcp"`},
		{`[{"Check":{"Verb":"set","Check":{"Node":"a","CheckID":"c","Name":"c"}}}]`, 200, `"ServiceTags":null`},
		{`[]`, 200, `{"Results":[],"Errors":null`},
	} {
		h.want("PUT", "/v1/txn", c.body, c.status, c.text)
	}
}

func TestQuery_Life(t *testing.T) {
	h := catalogOf(t)
	for body, text := range map[string]string{
		`{"Service":{"Service":"web"}}`: "500 Invalid prepared query: Must be bound to a session", `{"Name":"q"}`: "500 Invalid prepared query: Must provide a Service name to query",
		`{"ID":"x","Name":"q","Service":{"Service":"web"}}`:                                                                            "500 ID must be empty when creating a new prepared query",
		`{"Name":"q","Service":{"Service":"web","Failover":{"NearestN":1,"Targets":[{"Datacenter":"dc2"}]}}}`:                          "500 Invalid prepared query: Targets cannot be populated with NearestN or Datacenters",
		`{"Name":"q","Service":{"Service":"web","Failover":{"Targets":[{"Peer":"p","Datacenter":"","Partition":"","Namespace":""}]}}}`: "400 Failover targets can only be datacenters",
		`{"Name":"q","Service":{"Service":"web"},"DNS":{"TTL":"x"}}`:                                                                   "500 Invalid prepared query: Bad DNS TTL 'x'",
		`{"Name":"q","Service":{"Service":"web"},"Template":{"Type":"x"}}`:                                                             "500 Invalid prepared query: Bad Template.Type 'x'",
		`{"Name":"q","Service":{"Service":"${match("},"Template":{"Type":"name_prefix_match"}}`:                                        "500 Invalid prepared query: Bad format '${match('",
		`{"Name":"q","Service":{"Service":"web","Tags":["a","${nosuch}"]},"Template":{"Type":"name_prefix_match"}}`:                    "500 Invalid prepared query: Bad format '${nosuch}'",
		`{"Name":"q","Service":{"Service":"web"},"Template":{"Type":"name_prefix_match","Regexp":"(("}}`:                               "500 Invalid prepared query: Bad Template.Regexp",
		`{"Name":"q","Service":{"Service":"web","Connect":true}}`:                                                                      "400 Service mesh", `{"Name":"q","Service":{"Service":"web","SamenessGroup":"g"}}`: "400 Sameness groups",
		`{"Name":"q","Nope":1}`: `400 Request decode failed: json: unknown field "Nope"`, `{"Name":"q","Service":{"Service":"web","Failover":{"NearestN":-1}}}`: "500 Invalid prepared query: Bad NearestN",
	} {
		w := h.do("POST", "/v1/query", body)
		if got := fmt.Sprintf("%d %s", w.Code, w.Body); !strings.HasPrefix(got, text) {
			t.Errorf("%s: got %s, want %s", body, got, text)
		}
	}
	h.want("POST", "/v1/query", `{"Name":"q","Service":{"Service":"web","Tags":["!old"]}}`, 200, `{"ID":"`)
	id := sortedIDs(h)[0]
	h.want("POST", "/v1/query", `{"Name":"f","Service":{"Service":"web","Failover":{"Targets":[{"Peer":"","Datacenter":"dc2","Partition":"","Namespace":""}]}}}`, 200, `{"ID":"`)
	h.want("GET", "/v1/query/f/explain", "", 200, `"Targets":[{"Peer":"","Datacenter":"dc2"}]`)
	h.want("DELETE", "/v1/query/"+sortedIDs(h)[1], "", 200, "")
	h.want("GET", "/v1/query/"+id, "", 200, `[{"ID":"`+id+`","Name":"q"`)
	h.want("GET", "/v1/query/none", "", 404, "Query not found")
	h.want("PUT", "/v1/query/"+id, `{"Name":"q2","Service":{"Service":"web"}}`, 200, "")
	h.want("PUT", "/v1/query/none", `{"Name":"q2","Service":{"Service":"web"}}`, 500, "Cannot modify non-existent prepared query: 'none'")
	h.want("GET", "/v1/query/q2/explain", "", 200, `{"Query":{"ID":"`+id)
	h.want("GET", "/v1/query/none/explain", "", 404, "Query not found")
	h.want("GET", "/v1/query/q2/execute?limit=1", "", 200, `"Failovers":0,"Index":1,`)
	h.want("GET", "/v1/query/q2/execute?limit=x", "", 500, "Bad limit: ")
	h.want("PUT", "/v1/query/", `{}`, 400, "Missing query ID")
	h.want("DELETE", "/v1/query/"+id, "", 200, "")
	h.want("GET", "/v1/query", "", 200, "[]")
}

func sortedIDs(h *harness) []string {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	var ids []string
	for _, q := range sorted(h.store.queries) {
		ids = append(ids, q.ID)
	}
	return ids
}

func TestOperator_Answers(t *testing.T) {
	h := newHarness(t)
	h.want("GET", "/v1/operator/autopilot/state", "", 200, `"Leader":"`+nodeID+`","Voters":["`+nodeID+`"]`)
	h.want("PUT", "/v1/operator/autopilot/configuration?cas=3", `{"MinQuorum":3}`, 200, "false")
	h.want("PUT", "/v1/operator/autopilot/configuration?cas=4", `{"MinQuorum":3,"LastContactThreshold":"1s"}`, 200, "true")
	h.want("GET", "/v1/operator/autopilot/configuration", "", 200, `"LastContactThreshold":"1s","MaxTrailingLogs":0,"MinQuorum":3`)
	h.want("PUT", "/v1/operator/autopilot/configuration?cas=x", `{}`, 400, "Error parsing cas value")
	h.store.unhealthy = true
	h.want("GET", "/v1/operator/autopilot/health", "", 429, `"Healthy":false`)
	h.want("POST", "/v1/operator/raft/transfer-leader?id=x", "", 200, `{"Success":true}`)
	h.want("DELETE", "/v1/operator/raft/peer", "", 400, "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove")
	h.want("DELETE", "/v1/operator/raft/peer?id=a&address=b", "", 400, "Must specify only one of ?id or ?address")
	h.want("DELETE", "/v1/operator/raft/peer?address=b", "", 500, `address "b" was not found in the Raft configuration`)
	h.want("DELETE", "/v1/operator/raft/peer?address=10.0.0.9:8300", "", 200, "")
	h.want("PUT", "/v1/agent/force-leave/dead", "", 200, "")
	h.want("PUT", "/v1/operator/keyring", `{"Key":"k"}`, 200, "")
	h.want("DELETE", "/v1/operator/keyring", `{"Key":"k"}`, 200, "")
	h.want("GET", "/v1/operator/keyring?local-only&relay-factor=5", "", 200, `"Keys":{"list":1}`)
	h.want("POST", "/v1/operator/keyring", `{"Key":"k"}`, 200, "")
	h.want("PUT", "/v1/operator/keyring?local-only=true", `{"Key":"k"}`, 400, "local-only")
	h.want("DELETE", "/v1/operator/keyring", `{}`, 400, "Missing key")
	h.store.keyErr = "1/2 nodes reported failure"
	h.want("PUT", "/v1/operator/keyring", `{"Key":"k"}`, 500, "dc1 (LAN): 1/2 nodes reported failure")
}

func TestOperator_GlobalUsageAsksOtherDatacenters(t *testing.T) {
	h := newHarness(t)
	h.store.datacenters = []string{"dc1", "dc2"}
	h.store.forward = func(w http.ResponseWriter, r *http.Request, route berth.Route) bool {
		if route.Datacenter == "dc2" {
			_, _ = io.WriteString(w, `{"Usage":{"dc2":{"Services":7}}}`) // recorded in memory
		}
		return route.Datacenter == "dc2"
	}
	h.want("GET", "/v1/operator/usage?global", "", 200, `"dc2":{"Services":7`)
	h.store.forward = nil
	h.want("GET", "/v1/operator/usage?global", "", 500, "usage of datacenter dc2: No path to datacenter")
}

func TestCoordinate_Updates(t *testing.T) {
	h := newHarness(t)
	const good = `{"Node":"a","Segment":"","Coord":{"Vec":[0,0,0,0,0,0,0,1],"Error":1,"Adjustment":0,"Height":0}}`
	h.want("PUT", "/v1/coordinate/update", good, 200, "")
	h.want("GET", "/v1/coordinate/node/a", "", 200, `[{"Node":"a"`)
	h.want("GET", "/v1/coordinate/nodes?segment=x", "", 200, `[]`)
	testutil.Equal(t, h.want("GET", "/v1/coordinate/node/b", "", 404, "").Body.Len(), 0)
	h.want("PUT", "/v1/coordinate/update", `{"Node":"a","Coord":{"Vec":[1]}}`, 400, "Invalid coordinate")
	h.want("PUT", "/v1/coordinate/update", `{"Node":"a"}`, 400, "Invalid coordinate")
	h.want("PUT", "/v1/coordinate/update", strings.Replace(good, `"a"`, `""`, 1), 400, "Must provide node")
	off := newHarness(t, func(c *httpapi.Config) { c.DisableCoordinates = true })
	for _, path := range []string{"datacenters", "nodes", "node/a"} {
		off.want("GET", "/v1/coordinate/"+path, "", 401, "Coordinate support disabled")
	}
	off.want("PUT", "/v1/coordinate/update", good, 401, "Coordinate support disabled")
}

func TestSnapshot_SaveAndRestore(t *testing.T) {
	h := newHarness(t)
	h.store.snapshot = []byte(strings.Repeat("snap", 1<<18))
	web := httptest.NewServer(h.h)
	defer web.Close()
	status, body := get(t, web.URL+"/v1/snapshot")
	testutil.Equal(t, status, 200)
	testutil.Equal(t, body, string(h.store.snapshot))
	w := h.do("GET", "/v1/snapshot", "")
	testutil.Equal(t, w.Header().Get("Content-Type"), "application/x-gzip")
	if w.Header().Get("X-Consul-Index") == "" {
		t.Error("the index is missing")
	}

	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, web.URL+"/v1/snapshot", io.MultiReader(strings.NewReader(body)))
	testutil.NoError(t, err)
	response, err := web.Client().Do(r)
	testutil.NoError(t, err)
	testutil.NoError(t, response.Body.Close())
	testutil.Equal(t, response.Header.Get("Content-Type"), "application/octet-stream")
	testutil.Equal(t, string(h.store.restored), body)

	h.want("PUT", "/v1/snapshot?stale", "x", 500, "stale not allowed for restore")
	h.store.failUsage = true
	h.want("GET", "/v1/snapshot", "", 500, "disk on fire")
}

// A snapshot that breaks off half-way must not look whole.
func TestSnapshot_BrokenSaveCutsTheConnection(t *testing.T) {
	h := newHarness(t)
	h.store.snapshot, h.store.saveBreaks = []byte("half"), true
	web := httptest.NewServer(h.h)
	defer web.Close()
	response, err := web.Client().Get(web.URL + "/v1/snapshot")
	if err == nil {
		_, err = io.ReadAll(response.Body)
		testutil.NoError(t, response.Body.Close())
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		t.Fatalf("the client saw %v, want an unexpected end", err)
	}
}
