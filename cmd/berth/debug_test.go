package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/internal/testutil"
)

func TestDebug(t *testing.T) {
	a := newFakeAgent(t, map[string]string{
		"GET /v1/agent/self": `{"Config":{}}`, "GET /v1/agent/members": "[]", "GET /v1/agent/metrics": "{}",
		"GET /v1/agent/monitor": "a line of the log\n", "GET /debug/pprof/heap": "heap",
	})
	out := filepath.Join(t.TempDir(), "case")
	r := a.ask(t, "debug", "-interval", "1s", "-duration", "1s", "-output", out)
	if r.status != 0 || !strings.Contains(r.stdout, "Saved debug archive: "+out+".tar.gz") || !strings.Contains(r.stderr, "host.json is left out") {
		t.Errorf("got %+v", r)
	}
	f, err := os.Open(out + ".tar.gz")
	testutil.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	testutil.NoError(t, err)
	var names []string
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		testutil.NoError(t, err)
		names = append(names, h.Name)
	}
	slices.Sort(names)
	testutil.Equal(t, names, []string{"agent.json", "berth.log", "heap.prof", "members.json", "metrics-000.json"})
	r = a.ask(t, "debug", "-capture", "moon")
	if r.status != 1 || !strings.Contains(r.stderr, `-capture "moon": use agent, host`) {
		t.Errorf("got %+v", r)
	}
}
