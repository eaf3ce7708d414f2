package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"

	"berth"
	"berth/httpapi"
	"berth/internal/testutil"
)

func TestServer_PathsAndMethods(t *testing.T) {
	h := newHarness(t)
	for _, c := range []struct {
		method, path string
		status       int
		body, allow  string
	}{
		{"GET", "/v1/nope", 404, "Invalid URL path: not a recognized HTTP API endpoint\n", ""},
		{"GET", "/nope", 404, "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'\n", ""},
		{"GET", "/v1/connect/ca/roots", 404, "not a recognized HTTP API endpoint", ""},
		{"GET", "/v1/agent/connect/ca/leaf/web", 404, "not a recognized HTTP API endpoint", ""},
		{"GET", "/v1/config/service-defaults", 404, "not a recognized HTTP API endpoint", ""},
		{"GET", "/", 200, "Consul Agent: UI disabled", ""},
		{"POST", "/v1/kv/a", 405, "method POST not allowed", "OPTIONS,GET,PUT,DELETE"},
		{"GET", "/v1/agent/check/pass/a", 405, "method GET not allowed", "OPTIONS,PUT"},
		{"OPTIONS", "/v1/kv/a", 200, "", "OPTIONS,GET,PUT,DELETE"},
		{"OPTIONS", "/v1/status/leader", 200, "", "OPTIONS,GET"},
		{"GET", "/v1/kv/a%00b", 400, "disable_http_unprintable_char_filter", ""},
		{"PUT", "/v1/kv/a%ff", 400, "not UTF-8", ""},
		{"GET", "/v1/kv?keys", 200, "[]", ""},
		{"GET", "/v1/catalog/nodes?x=%zz", 400, `Invalid query string: invalid URL escape "%zz"`, ""},
		{"GET", "/v1/catalog/nodes?x=a;b", 400, "%3B", ""},
		{"GET", "/v1/catalog/nodes?" + strings.Repeat("a&", 10000), 400, "more than 10000 parameters", ""},
		{"GET", "/v1/acl/tokens", 401, "ACL support disabled", ""},
		{"PUT", "/v1/acl/bootstrap", 401, "ACL support disabled", ""},
		{"DELETE", "/v1/acl/token/x", 401, "ACL support disabled", ""},
	} {
		w := h.want(c.method, c.path, "", c.status, c.body)
		testutil.Equal(t, w.Header().Get("Allow"), c.allow)
	}
}

func TestServer_HeadHasHeadersOnly(t *testing.T) {
	h := newHarness(t)
	w := h.want("HEAD", "/v1/catalog/nodes", "", 200, "")
	testutil.Equal(t, w.Body.Len(), 0)
	if w.Header().Get("X-Consul-Index") == "" || w.Header().Get("Content-Length") == "0" {
		t.Fatalf("HEAD lacks the headers of GET: %v", w.Header())
	}
}

type denyAll struct{ asked []httpapi.Access }

func (d *denyAll) Authorize(_ context.Context, _ string, a httpapi.Access) error {
	d.asked = append(d.asked, a)
	return fmt.Errorf("%w: token lacks permission '%s:%s'", berth.ErrPermissionDenied, a.Resource, a.Verb)
}

// Every route asks the Authorizer before it does anything.
func TestServer_EveryRouteAsksTheAuthorizer(t *testing.T) {
	deny := &denyAll{}
	h := newHarness(t, func(c *httpapi.Config) { c.Authorizer = deny })
	bodies := map[string]string{
		"/v1/agent/service/register": `{"Name":"web"}`, "/v1/agent/check/register": `{"Name":"c","TTL":"10s"}`,
		"/v1/catalog/register": `{"Node":"a","Address":"1.1.1.1"}`, "/v1/catalog/deregister": `{"Node":"n1"}`,
		"/v1/txn": `[{"KV":{"Verb":"get","Key":"a"}}]`, "/v1/query": `{"Name":"q","Service":{"Service":"web"}}`,
		"/v1/coordinate/update": `{"Node":"a","Coord":{"Vec":[0,0,0,0,0,0,0,0],"Error":1,"Adjustment":0,"Height":0}}`,
	}
	for _, route := range httpapi.Routes() {
		for method := range strings.SplitSeq(route.Methods, ",") {
			path := route.Path
			if strings.HasSuffix(path, "/") {
				path += "x"
			}
			deny.asked = nil
			body := ""
			if method != "GET" {
				body = bodies[route.Path]
			}
			w := h.do(method, path, body)
			if w.Code != 403 || !strings.Contains(w.Body.String(), "Permission denied") || len(deny.asked) == 0 {
				t.Errorf("%s %s: %d %q with %d questions asked", method, path, w.Code, w.Body.String(), len(deny.asked))
			}
		}
	}
	testutil.Equal(t, len(h.agent.forgotten()), 0)
}

func TestServer_Gates(t *testing.T) {
	h := newHarness(t, func(c *httpapi.Config) {
		c.BlockEndpoints = []string{"/v1/agent/self", "/v1/kv/secret"}
		c.AllowWriteFrom = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		c.ResponseHeaders = map[string]string{"X-Site": "a"}
		c.TranslateWANAddrs = true
	})
	h.want("GET", "/v1/agent/self", "", 403, "Endpoint is blocked by agent configuration")
	h.want("GET", "/v1/kv/secret/a", "", 403, "Endpoint is blocked")
	h.want("PUT", "/v1/kv/a", "v", 403, "Access is restricted")
	w := h.want("GET", "/v1/status/leader", "", 200, "127.0.0.1:8300")
	testutil.Equal(t, w.Header().Get("X-Site"), "a")
	testutil.Equal(t, w.Header().Get("X-Consul-Translate-Addresses"), "true")
	testutil.Equal(t, h.do("GET", "/nope", "").Header().Get("X-Site"), "a")
}

func TestServer_JSONForms(t *testing.T) {
	h := newHarness(t)
	compact := h.do("GET", "/v1/status/peers", "").Body.String()
	testutil.Equal(t, compact, `["127.0.0.1:8300"]`)
	testutil.Equal(t, h.do("GET", "/v1/status/peers?pretty", "").Body.String(), "[\n    \"127.0.0.1:8300\"\n]\n")
	dev := newHarness(t, func(c *httpapi.Config) { c.Dev = true })
	testutil.Equal(t, dev.do("GET", "/v1/status/peers", "").Body.String(), "[\n    \"127.0.0.1:8300\"\n]")
	h.want("PUT", "/v1/catalog/register", `{"Node":"<a&b>","Address":"1.1.1.1"}`, 200, "true")
	h.want("GET", "/v1/catalog/node/%3Ca&b%3E", "", 200, `"Node":"\u003ca\u0026b\u003e"`)
}

func TestServer_Compression(t *testing.T) {
	h, addr := running(t)
	transport := &http.Transport{DisableCompression: true} // it would ask for gzip by itself
	defer transport.CloseIdleConnections()
	get := func(accept string) (http.Header, []byte) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/v1/agent/self", nil)
		testutil.NoError(t, err)
		r.Header.Set("Accept-Encoding", accept)
		response, err := transport.RoundTrip(r)
		testutil.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		testutil.NoError(t, err)
		return response.Header, body
	}
	plain := h.do("GET", "/v1/agent/self", "").Body.Bytes()
	for accept, want := range map[string]string{"gzip": "gzip", "br, gzip;q=0.5": "gzip", "gzip;q=0": "", "deflate": "", "": ""} {
		header, body := get(accept)
		testutil.Equal(t, header.Get("Content-Encoding"), want)
		testutil.Equal(t, header.Get("Content-Length"), fmt.Sprint(len(body)))
		if want == "" {
			continue
		}
		z, err := gzip.NewReader(bytes.NewReader(body))
		testutil.NoError(t, err)
		got, err := io.ReadAll(z)
		testutil.NoError(t, err)
		if len(got) != len(plain) && !json.Valid(got) {
			t.Fatalf("unpacked body is not the plain one: %q", got)
		}
	}
	small := h.do("GET", "/v1/status/leader", "", "Accept-Encoding", "gzip")
	testutil.Equal(t, small.Header().Get("Content-Encoding"), "")
}

func TestServer_Enterprise(t *testing.T) {
	h := newHarness(t)
	h.want("GET", "/v1/catalog/services?ns=a", "", 400, `Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature`)
	h.want("GET", "/v1/kv/a?partition=a", "", 400, `Invalid query parameter: "partition" - Partitions are a Consul Enterprise feature`)
	h.want("GET", "/v1/kv/a", "", 400, `Invalid header: "X-Consul-Namespace"`, "X-Consul-Namespace", "a")
	h.want("GET", "/v1/catalog/nodes", "", 400, `Invalid header: "X-Consul-Partition"`, "X-Consul-Partition", "a")
	h.want("GET", "/v1/catalog/nodes?ns=a", "", 200, "") // nodes have no namespace
	h.want("GET", "/v1/status/leader?ns=a&partition=b", "", 200, "")
	h.want("PUT", "/v1/agent/service/register", `{"Name":"a","Namespace":"b"}`, 400,
		`json: unknown field "Namespace" - Namespaces are a Consul Enterprise feature`)
}

func TestServer_ErrorsKeepTheirStatus(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{berth.ErrNoLeader, 500}, {berth.ErrNoPath, 500}, {berth.Invalid("x"), 400}, {berth.Rejected("x"), 500},
		{fmt.Errorf("write: %w", &berth.InvalidError{Status: 404, Text: "x"}), 404}, {&berth.InvalidError{Text: "x"}, 400},
		{&berth.InvalidError{Status: 7, Text: "x"}, 400}, {berth.ErrPermissionDenied, 403}, {fmt.Errorf("rpc error making call: ACL not found"), 403},
		{fmt.Errorf("rpc error making call: RPC rate limit exceeded"), 429}, {fmt.Errorf("Rate limit reached, try again later"), 429},
		{berth.ErrUnsynced, 503}, {berth.ErrClosed, 503}, {io.ErrUnexpectedEOF, 500},
	} {
		h := newHarness(t, func(cfg *httpapi.Config) { cfg.Authorizer = failing{c.err} })
		w := h.want("GET", "/v1/status/leader", "", c.status, c.err.Error())
		testutil.Equal(t, w.Body.String(), c.err.Error()) // no line break behind it
		testutil.Equal(t, w.Header().Get("Content-Type"), "text/plain; charset=utf-8")
	}
}

type failing struct{ err error }

func (f failing) Authorize(context.Context, string, httpapi.Access) error { return f.err }

func TestServer_TokenComesFromFourPlaces(t *testing.T) {
	seen := &tokenSpy{}
	h := newHarness(t, func(c *httpapi.Config) { c.Authorizer = seen; c.Tokens = seen })
	for _, c := range []struct{ query, header, bearer, want string }{
		{"?token=q", "h", "Bearer b", "q"}, {"", "h", "Bearer b", "h"}, {"", "", "bearer b", "b"}, {"", "", "Basic b", "own"}, {"", "", "", "own"},
	} {
		h.want("GET", "/v1/kv/a"+c.query, "", 404, "", "X-Consul-Token", c.header, "Authorization", c.bearer)
		testutil.Equal(t, seen.token, c.want)
	}
	h.want("PUT", "/v1/agent/token/agent_master", `{"Token":"new"}`, 200, "")
	testutil.Equal(t, seen.set, "agent_recovery=new")
	h.want("PUT", "/v1/agent/token/nope", `{"Token":"new"}`, 404, `Token "nope" is unknown`)
}

type tokenSpy struct{ token, set string }

func (s *tokenSpy) Authorize(_ context.Context, token string, _ httpapi.Access) error {
	s.token = token
	return nil
}
func (s *tokenSpy) UserToken() string { return "own" }
func (s *tokenSpy) SetToken(kind, token string) error {
	s.set = kind + "=" + token
	return nil
}

func TestServer_ForwardsWithRouteAndToken(t *testing.T) {
	h := newHarness(t)
	var got []string
	h.store.forward = func(w http.ResponseWriter, r *http.Request, route berth.Route) bool {
		body, _ := io.ReadAll(r.Body) // the test's own reader does not fail
		got = append(got, fmt.Sprintf("%s %s %+v %s", r.Method, r.URL.RequestURI(), route, bytes.TrimSpace(body)))
		w.WriteHeader(299)
		_, _ = io.WriteString(w, "elsewhere") // recorded in memory
		return true
	}
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", "/v1/catalog/nodes", "", "GET /v1/catalog/nodes {Datacenter: Leader:true Stale:false MaxStale:0s Servers:false} "},
		{"GET", "/v1/catalog/nodes?stale", "", "GET /v1/catalog/nodes?stale {Datacenter: Leader:false Stale:true MaxStale:0s Servers:false} "},
		{"GET", "/v1/catalog/nodes?max_stale=5s&dc=dc1", "", "GET /v1/catalog/nodes?max_stale=5s&dc=dc1 {Datacenter: Leader:false Stale:true MaxStale:5s Servers:false} "},
		{"GET", "/v1/kv/a?dc=x&datacenter=dc2", "", "GET /v1/kv/a?dc=x&datacenter=dc2 {Datacenter:dc2 Leader:true Stale:false MaxStale:0s Servers:false} "},
		{"PUT", "/v1/kv/a?dc=dc2", "v", "PUT /v1/kv/a?dc=dc2 {Datacenter:dc2 Leader:true Stale:false MaxStale:0s Servers:false} v"},
		{"PUT", "/v1/catalog/register", `{"Node":"z","Datacenter":"dc2"}`, `PUT /v1/catalog/register {Datacenter:dc2 Leader:true Stale:false MaxStale:0s Servers:false} {"Node":"z","Datacenter":"dc2"}`},
		{"PUT", "/v1/catalog/deregister", `{"Node":"n1","datacenter":"dc2"}`, `PUT /v1/catalog/deregister {Datacenter:dc2 Leader:true Stale:false MaxStale:0s Servers:false} {"Node":"n1","datacenter":"dc2"}`},
		{"PUT", "/v1/catalog/register", `{"Node":"z","Datacenter":"dc1"}`, `PUT /v1/catalog/register {Datacenter: Leader:true Stale:false MaxStale:0s Servers:false} {"Node":"z","Datacenter":"dc1"}`},
		{"GET", "/v1/status/leader?dc=dc2", "", "GET /v1/status/leader?dc=dc2 {Datacenter:dc2 Leader:false Stale:false MaxStale:0s Servers:false} "},
		{"PUT", "/v1/event/fire/e?dc=dc2", "p", "PUT /v1/event/fire/e?dc=dc2 {Datacenter:dc2 Leader:false Stale:false MaxStale:0s Servers:false} p"},
		{"GET", "/v1/health/service/a?near=_agent", "", "GET /v1/health/service/a?near=n1 {Datacenter: Leader:true Stale:false MaxStale:0s Servers:false} "},
		{"GET", "/v1/health/service/a?stale&near=b", "", "GET /v1/health/service/a?stale&near=b {Datacenter: Leader:false Stale:true MaxStale:0s Servers:true} "},
		{"GET", "/v1/kv/a?stale", "", "GET /v1/kv/a?stale {Datacenter: Leader:false Stale:true MaxStale:0s Servers:true} "},
		{"GET", "/v1/session/list?max_stale=5s", "", "GET /v1/session/list?max_stale=5s {Datacenter: Leader:false Stale:true MaxStale:5s Servers:true} "},
		{"GET", "/v1/query?stale", "", "GET /v1/query?stale {Datacenter: Leader:false Stale:true MaxStale:0s Servers:true} "},
		{"GET", "/v1/coordinate/nodes?stale", "", "GET /v1/coordinate/nodes?stale {Datacenter: Leader:false Stale:true MaxStale:0s Servers:true} "},
		{"GET", "/v1/snapshot?stale", "", "GET /v1/snapshot?stale {Datacenter: Leader:false Stale:true MaxStale:0s Servers:true} "},
		{"GET", "/v1/health/service/a?cached", "", "GET /v1/health/service/a?cached {Datacenter: Leader:false Stale:true MaxStale:0s Servers:false} "},
		{"PUT", "/v1/session/create", `{"TTL":"15s"}`, `PUT /v1/session/create {Datacenter: Leader:true Stale:false MaxStale:0s Servers:false} ` +
			`{"Name":"","Node":"n1","LockDelay":null,"Behavior":"","TTL":"15s","NodeChecks":null,"ServiceChecks":null}`},
		{"PUT", "/v1/txn?stale", `[{"KV":{"Verb":"get","Key":"a"}}]`, `PUT /v1/txn?stale {Datacenter: Leader:false Stale:true MaxStale:0s Servers:true} [{"KV":{"Verb":"get","Key":"a"}}]`},
		{"PUT", "/v1/txn?stale", `[{"KV":{"Verb":"set","Key":"a"}}]`, `PUT /v1/txn?stale {Datacenter: Leader:true Stale:false MaxStale:0s Servers:false} [{"KV":{"Verb":"set","Key":"a"}}]`},
	} {
		got = nil
		h.want(c.method, c.path, c.body, 299, "elsewhere")
		testutil.Equal(t, got, []string{c.want})
	}
	h.want("GET", "/v1/agent/services", "", 200, "{}") // an agent's own matter stays here
	h.want("PUT", "/v1/event/fire/e", "p", 200, `"Name":"e"`)
}

// What is wrong with a body is the same wherever the request runs.
func TestServer_ForwardedBodyErrors(t *testing.T) {
	h := newHarness(t, func(c *httpapi.Config) { c.Limits.KVMaxValueSize = 4 })
	var got error
	h.store.forward = func(w http.ResponseWriter, r *http.Request, _ berth.Route) bool {
		_, got = io.ReadAll(r.Body)
		w.WriteHeader(299)
		return true
	}
	for body, want := range map[io.Reader]string{
		io.MultiReader(strings.NewReader("12345")): "413 Request body too large, max size: 4 bytes. See ",
		iotest.ErrReader(io.ErrUnexpectedEOF):      "400 Request body could not be read: unexpected EOF",
	} {
		r := httptest.NewRequest("PUT", "/v1/kv/a", body)
		r.ContentLength = -1
		h.h.ServeHTTP(httptest.NewRecorder(), r)
		var told *berth.InvalidError
		if !errors.As(got, &told) || !strings.HasPrefix(fmt.Sprintf("%d %s", told.Status, told.Text), want) {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}

func TestServer_UnansweredForwardIsAnError(t *testing.T) {
	h := newHarness(t)
	h.store.forward = func(http.ResponseWriter, *http.Request, berth.Route) bool { return true }
	h.want("GET", "/v1/kv/a", "", 503, "shutting down")
}
