package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/testutil"
)

// A peers.json that would leave the server without a leader is refused, and stays to be mended.
func TestRaftNode_PeersFileIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{`: "it must be a list of",
		`[{"id": "other", "address": "10.0.0.2:8300"}]`: `this server, "own", is not in the list`,
		`[{"id": "own", "address": "10.0.0.1"}]`:        `the address of server "own" is "10.0.0.1": give host and server port`,
	} {
		n := &raftNode{dir: t.TempDir(), id: "own"}
		file := filepath.Join(n.dir, "peers.json")
		testutil.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		if err := n.recover(nil, nil); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v, want file and %q in it", text, err, want)
		}
		if _, err := os.Stat(file); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
