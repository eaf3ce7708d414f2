package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"berth/httpapi"
	"berth/internal/testutil"
)

// harness is a server over fakes.
type harness struct {
	t     testing.TB
	store *fakeStore
	agent *fakeAgent
	srv   *httpapi.Server
	h     http.Handler
}

func newHarness(t testing.TB, change ...func(*httpapi.Config)) *harness {
	t.Helper()
	h := &harness{t: t, store: newFakeStore()}
	h.agent = newFakeAgent(h.store)
	cfg := httpapi.Config{Logger: testutil.Logger(t), Store: h.store, Agent: h.agent,
		Self: httpapi.Self{NodeName: "n1", NodeID: nodeID, Datacenter: "dc1", PrimaryDatacenter: "dc1", Server: true, Version: "1.21.4", BuildDate: "1970-01-01T00:00:01Z"}}
	for _, f := range change {
		f(&cfg)
	}
	srv, err := httpapi.New(cfg)
	testutil.NoError(t, err)
	t.Cleanup(func() { _ = srv.Close() })
	h.srv, h.h = srv, noting(srv.Handler())
	return h
}

// do sends a request through the handler; header has pairs of name and value.
func (h *harness) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	h.t.Helper()
	var b io.Reader
	if body != "" {
		b = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(h.t.Context(), method, path, b)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.h.ServeHTTP(w, r)
	return w
}

// answered has the method and route of every request to a harness that was not refused, with 401
// where that is the answer.
var answered sync.Map

func noting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := *r
		s := &statusWriter{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(s, r)
		if s.code/100 == 2 || s.code == http.StatusUnauthorized {
			answered.Store(asked.Method+" "+httpapi.RouteOf(&asked).Path, true)
		}
	})
}

type statusWriter struct {
	http.ResponseWriter
	code int
}

func (s *statusWriter) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// untested are the methods and routes of the table that no test has had an answer from.
func untested() (none []string) {
	for _, route := range httpapi.Routes() {
		for method := range strings.SplitSeq(route.Methods, ",") {
			if _, ok := answered.Load(method + " " + route.Path); !ok {
				none = append(none, method+" "+route.Path)
			}
		}
	}
	return none
}

// want sends a request and checks status and, when text is not empty, that the body has it.
func (h *harness) want(method, path, body string, status int, text string, header ...string) *httptest.ResponseRecorder {
	h.t.Helper()
	w := h.do(method, path, body, header...)
	if w.Code != status || !strings.Contains(w.Body.String(), text) {
		h.t.Fatalf("%s %s: got %d %q, want %d with %q", method, path, w.Code, w.Body.String(), status, text)
	}
	return w
}
