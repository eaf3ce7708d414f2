package httpapi_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"berth"
	"berth/httpapi"
	"berth/internal/testutil"
)

// steadyStore gives the same entries until something changes, as the store does.
type steadyStore struct {
	*fakeStore
	kept map[string][]*berth.HealthEntry
	at   map[string]uint64
}

func (s *steadyStore) Service(ctx context.Context, name string, q berth.QueryOptions) ([]*berth.HealthEntry, berth.QueryMeta, error) {
	out, m, err := s.fakeStore.Service(ctx, name, q)
	if q.Near != "" || q.NodeMeta != nil {
		return out, m, err
	}
	if s.at[name] != s.index {
		s.kept[name], s.at[name] = out, s.index
	}
	return s.kept[name], m, err
}

// However answers are kept: what is read is what was written before.
func TestHealthService_AlwaysTheStateOfTheMoment(t *testing.T) {
	h := newHarness(t, func(c *httpapi.Config) {
		c.Store = &steadyStore{c.Store.(*fakeStore), map[string][]*berth.HealthEntry{}, map[string]uint64{}}
	})
	same := func(step string) {
		t.Helper()
		for _, path := range []string{"/v1/health/service/web", "/v1/health/service/web?passing", "/v1/health/service/web?passing=false", "/v1/health/service/none"} {
			sep := "?"
			if strings.Contains(path, "?") {
				sep = "&"
			}
			want := h.want("GET", path+sep+"tag=", "", 200, "[").Body.String() // selected anew
			for range 2 {
				testutil.Equal(t, h.want("GET", path, "", 200, "").Body.String(), want)
				w := h.do("GET", path, "", "Accept-Encoding", "gzip")
				if w.Header().Get("Content-Encoding") == "" {
					testutil.Equal(t, w.Body.String(), want)
					continue
				}
				z, err := gzip.NewReader(w.Body)
				testutil.NoError(t, err)
				got, err := io.ReadAll(z)
				testutil.NoError(t, err)
				testutil.Equal(t, string(got), want)
			}
		}
		if t.Failed() {
			t.Fatal(step)
		}
	}
	same("empty")
	for i := range 3 {
		node := fmt.Sprintf(`{"Node":"n%d0","Address":"10.0.0.%d","Service":{"Service":"web","Port":%%d},"Check":{"Name":"up","Status":%%q,"ServiceID":"web"}}`, i, i)
		for port, status := range []string{"passing", "critical", "passing"} {
			h.want("PUT", "/v1/catalog/register", fmt.Sprintf(node, port, status), 200, "true")
			same(fmt.Sprint(i, status))
		}
	}
	for i := range 3 {
		h.want("PUT", "/v1/catalog/deregister", fmt.Sprintf(`{"Node":"n%d0"}`, i), 200, "true")
		same(fmt.Sprint("without ", i))
	}
}

// A client that asks for ever new spellings does not make answers pile up.
func TestHealthService_KeptAnswersAreBounded(t *testing.T) {
	h := newHarness(t, func(c *httpapi.Config) {
		c.Store = &steadyStore{c.Store.(*fakeStore), map[string][]*berth.HealthEntry{}, map[string]uint64{}}
	})
	output := strings.Repeat("x", 200<<10)
	for i := range 50 {
		h.want("PUT", "/v1/catalog/register", fmt.Sprintf(
			`{"Node":"n","Address":"10.0.0.1","Service":{"Service":"web%d"},"Check":{"Name":"up%d","Output":%q,"ServiceID":"web%d"}}`, i, i, output, i), 200, "true")
	}
	for i := range 50 {
		h.want("GET", fmt.Sprintf("/v1/health/service/web%d", i), "", 200, output)
		if n := h.srv.KeptBytes(); n > 8<<20 {
			t.Fatalf("%d bytes are kept", n)
		}
	}
}
