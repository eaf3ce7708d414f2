package httpapi_test

import (
	"net/http/httptest"
	"testing"

	"berth/httpapi/goldentest"
	"berth/internal/testutil"
)

func TestServer_RecordedExchanges(t *testing.T) {
	h := newHarness(t)
	web := httptest.NewServer(h.h)
	defer web.Close()
	diffs, err := goldentest.Replay(t.Context(), web.Client(), web.URL, "testdata/consul-1.21-http.json")
	testutil.NoError(t, err)
	for _, d := range diffs {
		t.Error(d)
	}
}
