package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"berth/internal/testutil"
)

// What the environment says about the agent's address is what Consul's clients make of it.
func TestClient_Environment(t *testing.T) {
	var path, authorization string
	a := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, authorization = r.URL.Path, r.Header.Get("Authorization")
		_, _ = w.Write([]byte(`"10.0.0.1:8300"`))
	}))
	defer a.Close()
	host := a.Listener.Addr().String()
	basic := func(user, password string) string {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	for name, x := range map[string]struct {
		vars                []string
		path, authorization string
	}{
		"plain":                 {[]string{"CONSUL_HTTP_ADDR=" + host}, "/v1/status/leader", ""},
		"trailing slash":        {[]string{"CONSUL_HTTP_ADDR=http://" + host + "/"}, "/v1/status/leader", ""},
		"path":                  {[]string{"CONSUL_HTTP_ADDR=http://" + host + "/some/where/"}, "/some/where/v1/status/leader", ""},
		"blanks, upper case":    {[]string{"CONSUL_HTTP_ADDR= HTTP://" + host + " "}, "/v1/status/leader", ""},
		"user and password":     {[]string{"CONSUL_HTTP_ADDR=" + host, "CONSUL_HTTP_AUTH=me:a:b"}, "/v1/status/leader", basic("me", "a:b")},
		"user alone":            {[]string{"CONSUL_HTTP_ADDR=" + host, "CONSUL_HTTP_AUTH=me"}, "/v1/status/leader", basic("me", "")},
		"in the address":        {[]string{"CONSUL_HTTP_ADDR=http://me:pw@" + host}, "/v1/status/leader", basic("me", "pw")},
		"variables, not in URL": {[]string{"CONSUL_HTTP_ADDR=http://me:pw@" + host, "BERTH_HTTP_AUTH=you:x"}, "/v1/status/leader", basic("you", "x")},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := (&env{vars: x.vars}).client(&clientFlags{})
			testutil.NoError(t, err)
			var leader string
			testutil.NoError(t, c.get(t.Context(), "/v1/status/leader", nil, &leader))
			testutil.Equal(t, path, x.path)
			testutil.Equal(t, authorization, x.authorization)
		})
	}
}

// Who asks for TLS shall not have a token go out in the clear because the address says http://.
func TestClient_TLSAskedForIsTLS(t *testing.T) {
	asked := false
	a := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer a.Close()
	r := berthCommand(t, []string{"CONSUL_HTTP_ADDR=" + a.URL, "CONSUL_HTTP_SSL=true", "CONSUL_HTTP_TOKEN=secret"}, "", "kv", "get", "x")
	if asked || r.status == 0 || !strings.Contains(r.stderr, "HTTPS") {
		t.Errorf("asked in the clear: %v; status %d, %q", asked, r.status, r.stderr)
	}
}

func TestClient_NoPasswordInMessages(t *testing.T) {
	for _, addr := range []string{"http://me:s3cret@127.0.0.1:1", "me:s3cret@127.0.0.1:1", "ftp://me:s3cret@x", "http://me:s3cret@bad host"} {
		r := berthCommand(t, []string{"CONSUL_HTTP_ADDR=" + addr}, "", "kv", "get", "x")
		if r.status == 0 || strings.Contains(r.stderr+r.stdout, "s3cret") || !strings.Contains(r.stderr, "me@") {
			t.Errorf("%s: status %d, %q", addr, r.status, r.stderr+r.stdout)
		}
	}
}
