package goldentest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/httpapi/goldentest"
	"berth/internal/testutil"
)

// A replay tells every kind of difference, and none where values may differ.
func TestReplay_TellsDifferences(t *testing.T) {
	recording := []map[string]any{{
		"method": "PUT", "path": "/v1/x", "status": 200, "headers": map[string]string{"Content-Type": "application/json", "X-Consul-Index": "5"},
		"body": map[string]any{"ID": "570965ad-0d12-dc42-fce3-89da2ba38739", "ModifyIndex": 33, "Tags": []string{"a"}, "Gone": 1, "Name": "n", "Null": nil},
	}, {
		"method": "PUT", "path": "/v1/y/570965ad-0d12-dc42-fce3-89da2ba38739?cas=33", "status": 500, "headers": map[string]string{"Content-Type": "text/plain; charset=utf-8"},
		"body_text": "raft apply failed: no such thing",
	}}
	raw, err := json.Marshal(recording)
	testutil.NoError(t, err)
	file := filepath.Join(t.TempDir(), "recording.json")
	testutil.NoError(t, os.WriteFile(file, raw, 0o600))

	var second string
	answer := `{"ID":"11111111-0d12-dc42-fce3-89da2ba38739","ModifyIndex":44,"Tags":[],"Name":"m","New":true,"Null":{}}`
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/y") {
			second = r.URL.RequestURI()
			http.Error(w, "rpc error making call: no such thing", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Consul-Index", "0")
		w.Write([]byte(answer))
	}))
	defer web.Close()
	diffs, err := goldentest.Replay(t.Context(), web.Client(), web.URL, file)
	testutil.NoError(t, err)
	places := make(map[string]bool)
	for _, d := range diffs {
		places[d.Where] = true
	}
	testutil.Equal(t, places, map[string]bool{"header.X-Consul-Index": true, "body.Tags": true, "body.Gone": true, "body.Name": true, "body.New": true, "body.Null": true})
	testutil.Equal(t, second, "/v1/y/11111111-0d12-dc42-fce3-89da2ba38739?cas=44")

	answer = "not JSON"
	diffs, err = goldentest.Replay(t.Context(), web.Client(), web.URL, file)
	testutil.NoError(t, err)
	testutil.Equal(t, diffs[1].Where, "body")
}
