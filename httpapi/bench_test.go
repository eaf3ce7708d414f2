package httpapi_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"berth/httpapi"
	"berth/internal/testutil"
)

// discard is a ResponseWriter that keeps nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(p []byte) (int, error) { return len(p), nil }

func benchmarkRead(b *testing.B, path string) {
	h := newHarness(b, func(c *httpapi.Config) { c.Logger = slog.New(slog.DiscardHandler) })
	for i := range 3 {
		h.want("PUT", "/v1/catalog/register", fmt.Sprintf(`{"Node":"n%d0","Address":"10.0.0.%d","Service":{"Service":"web","Tags":["v1","http"],"Port":80},
			"Checks":[{"Name":"serfHealth","Status":"passing"},{"Name":"up","Status":"passing","ServiceID":"web"}]}`, i, i), 200, "true")
	}
	h.want("PUT", "/v1/kv/key", "value", 200, "true")
	r := httptest.NewRequestWithContext(b.Context(), "GET", path, nil)
	b.ReportAllocs()
	for b.Loop() {
		h.h.ServeHTTP(discard{make(http.Header, 8)}, r)
	}
}

func BenchmarkHealthService(b *testing.B) { benchmarkRead(b, "/v1/health/service/web?passing&stale") }
func BenchmarkHealthFiltered(b *testing.B) {
	benchmarkRead(b, `/v1/health/service/web?filter=Service.Meta.a!=b`)
}
func BenchmarkKVGet(b *testing.B) { benchmarkRead(b, "/v1/kv/key?raw") }

// Over a socket, with what net/http itself costs.
func BenchmarkHealthServiceSocket(b *testing.B) {
	h, addr := running(b)
	h.want("PUT", "/v1/catalog/register", `{"Node":"a","Address":"10.0.0.1","Service":{"Service":"web"}}`, 200, "true")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for b.Loop() {
		response, err := client.Get("http://" + addr + "/v1/health/service/web?passing")
		testutil.NoError(b, err)
		_, err = io.Copy(io.Discard, response.Body)
		testutil.NoError(b, err)
		testutil.NoError(b, response.Body.Close())
	}
}
