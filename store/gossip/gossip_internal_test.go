package gossip

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/testutil"
)

const testKey = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

func TestStdLogger_TellsWhatTheLibraryMeans(t *testing.T) {
	var out bytes.Buffer
	r := newRemarks()
	log := stdLogger(slog.New(slog.NewTextHandler(&out, nil)), r)
	log.Print("[WARN] memberlist: Was able to connect to n2 over TCP but UDP probes failed, network may be misconfigured")
	if got := r.of("n2"); !strings.Contains(got, "UDP is blocked") {
		t.Errorf("remark on n2 is %q", got)
	}
	testutil.Equal(t, r.of("n3"), "")
	for range 3 {
		log.Print("[ERR] memberlist: failed to receive: No installed keys could decrypt the message from=10.0.0.1:8301")
	}
	if n := strings.Count(out.String(), "encrypt key differs"); n != 1 {
		t.Errorf("the wrong key is named %d times, want once a minute:\n%s", n, out.String())
	}
	log.Print("[DEBUG] memberlist: Stream connection from=10.0.0.1:1")
	if strings.Contains(out.String(), "Stream connection") {
		t.Error("debug lines are not at debug level")
	}
}

func TestStdLogger_GarbageIsNamedOnceAMinute(t *testing.T) {
	var out bytes.Buffer
	log := stdLogger(slog.New(slog.NewTextHandler(&out, nil)), newRemarks())
	for n := range 200 {
		log.Printf("[ERR] memberlist: msg type (%d) not supported from=10.0.0.%d:%d", 20+n, n, 4000+n)
		log.Printf("[ERR] memberlist: Failed to decode ping request: msgpack decode error [pos %d]: junk %x from=10.0.0.%d:1", n, n, n)
	}
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d lines about 400 packets of two kinds, want 2:\n%.2000s", n, out.String())
	}
	log.Print("[WARN] memberlist: Refuting a suspect message (from: n3)")
	if !strings.Contains(out.String(), "n3") {
		t.Error("a line about a member is missing")
	}
}

func TestStdLogger_NameConflictIsNamedOnceAMinuteWithItsRemedy(t *testing.T) {
	var out bytes.Buffer
	log := stdLogger(slog.New(slog.NewTextHandler(&out, nil)), newRemarks())
	for range 20 {
		log.Print("[ERR] memberlist: Conflicting address for web. Mine: 10.0.0.1:1 Theirs: 10.0.0.2:1 Old state: 0")
		log.Print("[WARN] serf: Name conflict for 'web' both 10.0.0.1:1 and 10.0.0.2:1 are claiming")
	}
	testutil.Equal(t, strings.Count(out.String(), "\n"), 1)
	if !strings.Contains(out.String(), "both 10.0.0.1:1 and 10.0.0.2:1 are claiming: set a different node_name") {
		t.Errorf("the line does not name peers and remedy: %s", out.String())
	}
}

func TestLoadKeyring(t *testing.T) {
	file := filepath.Join(t.TempDir(), "serf", "local.keyring")
	k, err := loadKeyring("", file)
	testutil.NoError(t, err)
	if k != nil {
		t.Error("a keyring without a key")
	}
	k, err = loadKeyring(testKey, file)
	testutil.NoError(t, err)
	testutil.Equal(t, len(k.GetKeys()), 1)
	k, err = loadKeyring("", file) // what rotation wrote counts, not the setting
	testutil.NoError(t, err)
	testutil.Equal(t, len(k.GetKeys()), 1)
	testutil.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	if _, err := loadKeyring(testKey, file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a damaged keyring: %v", err)
	}
	if _, err := DecodeKey("not base64!"); err == nil || !strings.Contains(err.Error(), "berth keygen") {
		t.Errorf("a bad key: %v", err)
	}
}

func TestWithPort(t *testing.T) {
	for in, want := range map[string]string{"10.0.0.1": "10.0.0.1:8301", "10.0.0.1:99": "10.0.0.1:99", "::1": "[::1]:8301", "[::1]": "[::1]:8301", "host": "host:8301"} {
		testutil.Equal(t, withPort(in, 8301), want)
	}
}
