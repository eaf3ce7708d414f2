package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/testutil"
)

// snapshotFile is a snapshot as an agent sends it; damage changes the state after its checksum
// was taken.
func snapshotFile(t *testing.T, damage bool) []byte {
	t.Helper()
	meta := []byte(`{"Version":1,"ID":"2-17-1","Index":17,"Term":2}`)
	state := []byte("state of the catalog")
	sums := fmt.Sprintf("%x  meta.json\n%x  state.bin\n", sha256.Sum256(meta), sha256.Sum256(state))
	if damage {
		state[0] = 'S'
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, f := range []struct {
		name string
		text []byte
	}{{"meta.json", meta}, {"state.bin", state}, {"SHA256SUMS", []byte(sums)}} {
		testutil.NoError(t, w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o600, Size: int64(len(f.text))}))
		_, err := w.Write(f.text)
		testutil.NoError(t, err)
	}
	testutil.NoError(t, w.Close())
	testutil.NoError(t, z.Close())
	return out.Bytes()
}

func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "backup.snap")
	a := newFakeAgent(t, map[string]string{
		"GET /v1/snapshot": string(snapshotFile(t, false)), "PUT /v1/snapshot": "",
		"GET /v1/agent/self": `{"Config":{"Datacenter":"dc1","NodeName":"n1","Version":"0.1.0"}}`,
	})
	testutil.Equal(t, a.ask(t, "snapshot", "save", file), result{0, "Saved and verified snapshot to index 17\n", ""})
	r := a.ask(t, "snapshot", "inspect", file)
	testutil.Equal(t, r.stdout, "ID        2-17-1\nSize      20\nIndex     17\nTerm      2\nVersion   1\nChecksum  verified\n")
	testutil.Equal(t, a.ask(t, "snapshot", "restore", file), result{0, "Restored snapshot\n", ""})
	testutil.Equal(t, a.ask(t, "snapshot", "save", "-append-filename", "dc,version", file).status, 0)
	_, err := os.Stat(filepath.Join(dir, "backup-dc1-0.1.0.snap"))
	testutil.NoError(t, err)

	bad := newFakeAgent(t, map[string]string{"GET /v1/snapshot": string(snapshotFile(t, true))})
	r = bad.ask(t, "snapshot", "save", file)
	if r.status != 1 || !strings.Contains(r.stderr, "state.bin is missing or not what its checksum says") {
		t.Errorf("damaged: %+v", r)
	}
	kept, err := os.ReadFile(file)
	testutil.NoError(t, err)
	testutil.Equal(t, kept, snapshotFile(t, false))
	testutil.NoError(t, os.WriteFile(file, []byte("no snapshot"), 0o600))
	r = a.ask(t, "snapshot", "restore", file)
	if r.status != 1 || !strings.Contains(r.stderr, "is not a snapshot") {
		t.Errorf("restore of something else: %+v", r)
	}
}
