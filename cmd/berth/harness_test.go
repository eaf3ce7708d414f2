package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestMain is the program itself when the test binary is called berth: a test that needs it as a
// process copies its own binary, which takes no time, instead of building it.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "berth" {
		main()
	}
	os.Exit(m.Run())
}

// fakeAgent answers requests from a table and remembers them.
type fakeAgent struct {
	*httptest.Server
	answers map[string]string // "METHOD /path?query" or "METHOD /path" to "status body" or body

	mu       sync.Mutex // guards requests
	requests []string   // method, path and query, then the body after a blank
}

func newFakeAgent(t *testing.T, answers map[string]string) *fakeAgent {
	t.Helper()
	a := &fakeAgent{answers: answers}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

// ServeHTTP answers 404 to what is not in the table, as an agent does for unknown things.
func (a *fakeAgent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	asked := r.Method + " " + r.URL.RequestURI()
	a.mu.Lock()
	a.requests = append(a.requests, strings.TrimSpace(asked+" "+string(body)))
	a.mu.Unlock()
	answer, ok := a.answers[asked]
	if !ok {
		answer, ok = a.answers[r.Method+" "+r.URL.EscapedPath()]
	}
	w.Header().Set("X-Consul-Index", "7")
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if status, rest, found := strings.Cut(answer, "|"); found && len(status) == 3 {
		code := 0
		fmt.Sscan(status, &code)
		w.WriteHeader(code)
		answer = rest
	}
	io.WriteString(w, answer)
}

func (a *fakeAgent) asked() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string{}, a.requests...)
}

// result is what a command did.
type result struct {
	status         int
	stdout, stderr string
}

// berthCommand runs the program in this process.
func berthCommand(t *testing.T, environ []string, stdin string, args ...string) result {
	t.Helper()
	var out, errs strings.Builder
	status := run(append([]string{"berth"}, args...), environ, strings.NewReader(stdin), &out, &errs)
	return result{status, out.String(), errs.String()}
}

// ask runs a command against a fake agent.
func (a *fakeAgent) ask(t *testing.T, args ...string) result {
	t.Helper()
	return berthCommand(t, []string{"BERTH_HTTP_ADDR=" + a.URL}, "", args...)
}
