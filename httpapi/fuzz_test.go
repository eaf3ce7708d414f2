package httpapi_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"berth/httpapi"
	"berth/httpapi/goldentest"
	"berth/internal/testutil"
)

// fuzzed is a harness whose reads hardly wait and which logs nothing.
func fuzzed(t testing.TB) *harness {
	h := newHarness(t, everything, func(c *httpapi.Config) {
		c.Logger = slog.New(slog.DiscardHandler)
		c.MaxQueryTime = time.Millisecond
		c.Limits.MaxBodyBytes, c.Limits.KVMaxValueSize = 64<<10, 64<<10
	})
	h.populate(t)
	return h
}

// populateEvery is after how many requests what fuzzing has taken away is put back.
const populateEvery = 100

// survives sends a request and checks what must hold for every answer.
func (h *harness) survives(t testing.TB, method, target, body string, header http.Header) {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return // net/http refuses it before any handler
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "/", strings.NewReader(body))
	r.Method, r.URL, r.RequestURI = method, u, target
	r.Header = header
	w := httptest.NewRecorder()
	h.h.ServeHTTP(w, r)
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%s %s: no answer in time", method, target)
	case w.Code < 200 || w.Code > 599 || w.Code == http.StatusServiceUnavailable && !strings.Contains(target, "/health/"):
		t.Fatalf("%s %s: status %d %s", method, target, w.Code, w.Body)
	case w.Header().Get("Content-Type") == "application/json" && w.Body.Len() > 0 && w.Header().Get("Content-Encoding") == "" && !json.Valid(w.Body.Bytes()):
		t.Fatalf("%s %s: not JSON: %s", method, target, w.Body)
	}
}

// methodsAndPaths lists every route.
func methodsAndPaths() (out [][2]string) {
	for _, route := range httpapi.Routes() {
		for method := range strings.SplitSeq(route.Methods, ",") {
			out = append(out, [2]string{method, route.Path})
		}
	}
	return out
}

// FuzzBodies gives every route anything as its body, with anything behind the route's path.
func FuzzBodies(f *testing.F) {
	exchanges, err := goldentest.Load("testdata/consul-1.21-http.json")
	testutil.NoError(f, err)
	routes := methodsAndPaths()
	add := func(method, target, body string) {
		for n, r := range routes {
			if suffix, ok := strings.CutPrefix(target, r[1]); ok && r[0] == method {
				f.Add(uint(n), suffix, body)
			}
		}
	}
	for i := range exchanges {
		add(exchanges[i].Method, exchanges[i].Path, string(exchanges[i].RequestBody))
	}
	for _, r := range fuzzedRequests {
		add(r.method, r.target, r.body)
	}
	for _, body := range []string{"", "null", "[]", "{}", "[null]", `{"Check":null,"Checks":[null]}`, `[{"KV":null}]`, `{"Service":null,"Check":null,"Checks":[null]}`,
		`{"Name":"a","Check":{"TTL":1e400}}`, `{"LockDelay":-1}`, strings.Repeat("[", 5000), `{"Name":"a","Meta":{"a":null}}`, `{"Name":"\ud800","TTL":"1s"}`} {
		for n := range routes {
			f.Add(uint(n), "n1", body)
		}
	}
	h := fuzzed(f)
	var asked int
	f.Fuzz(func(t *testing.T, n uint, suffix, body string) {
		if asked++; asked%populateEvery == 0 {
			h.populate(t)
		}
		r := routes[n%uint(len(routes))]
		h.survives(t, r[0], r[1]+suffix, body, http.Header{})
	})
}

// FuzzTargets asks for any path and query.
func FuzzTargets(f *testing.F) {
	for _, r := range fuzzedRequests {
		f.Add(r.method, r.target, "")
	}
	for _, r := range methodsAndPaths() {
		if strings.HasSuffix(r[1], "/") {
			r[1] += "n1"
		}
		f.Add(r[0], r[1]+"?index=7&wait=1s&stale&near=_agent&filter=Node==a&node-meta=a:b&pretty&passing&tag=x&enable=true&cas=1&dc=dc1", "max-age=1")
		f.Add(r[0], r[1]+"?cached&recurse&keys&raw&separator=/&segment=&wan=1&limit=2&format=text&loglevel=warn&flags=3&consistent&ns=&global", "")
	}
	f.Add("GET", "/v1/kv/%ff%00?index=18446744073709551616&wait=9999999h", "x")
	f.Add("GET", "/v1/health/service/web?filter="+url.QueryEscape(strings.Repeat("(", 300)+"a==b"), "")
	f.Add("GET", "/v1//kv//?;=%", "")
	f.Add("DELETE", "/v1/kv/?recurse=1&cas", "")
	h := fuzzed(f)
	var asked int
	f.Fuzz(func(t *testing.T, method, target, header string) {
		if asked++; asked%populateEvery == 0 {
			h.populate(t)
		}
		h.survives(t, method, target, "", http.Header{"Cache-Control": {header}, "X-Forwarded-For": {header}, "Accept-Encoding": {header}, "Authorization": {header}})
	})
}

// FuzzFilters gives health answers any filter.
func FuzzFilters(f *testing.F) {
	for _, s := range []string{`Checks.Status=="critical"`, `any Checks as c { c.Status == "x" }`, `"x" in Service.Tags or not Node.Meta["a b"] matches "("`, "((((((((",
		`Checks[0]["Status"]=="x"`, "Checks.9.Status==x", `Checks.Status matches "(a+)+$"`, strings.Repeat("not ", 200) + "Node.ID==x"} {
		f.Add(s)
	}
	h := fuzzed(f)
	h.want("PUT", "/v1/catalog/register", `{"Node":"a","Address":"1.1.1.1","Service":{"Service":"web"},"Check":{"Name":"c","ServiceID":"web"}}`, 200, "true")
	f.Fuzz(func(t *testing.T, expr string) {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/health/service/web?filter="+url.QueryEscape(expr), nil)
		w := httptest.NewRecorder()
		start := time.Now()
		h.h.ServeHTTP(w, r)
		if took := time.Since(start); took > 3*time.Second {
			t.Fatalf("filter %q took %v", expr, took)
		}
		if w.Code != 200 && w.Code != 400 {
			t.Fatalf("filter %q: %d %s", expr, w.Code, w.Body)
		}
	})
}
