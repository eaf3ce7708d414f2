package httpapi_test

import (
	"io"
	"net/http"
	"testing"

	"berth/internal/testutil"
)

// get fetches a URL over the network.
func get(t testing.TB, url string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	testutil.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	testutil.NoError(t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	testutil.NoError(t, err)
	return response.StatusCode, string(raw)
}
