package hostdns

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"berth/internal/testutil"
)

// testBridge is where the fake listener answers containers; in tests 127.0.0.1 is not refused
// because it is given by interfaces.
var testBridge = netip.MustParseAddr("172.17.0.1")

// onBridge gives the bench a docker0 where the fake listener answers.
func onBridge(b *bench) {
	b.Addrs = func() []Address { return []Address{{"docker0", b.dns.addr.Addr()}} }
}

func TestDocker_AndBack(t *testing.T) {
	const before = "{\n    \"log-driver\": \"json-file\",\n    \"big\": 12345678901234567890,\n    \"dns\": [ \"10.0.0.9\" ]\n}\n"
	b := newBench(t)
	onBridge(b)
	b.write(daemonJSON, before)
	testutil.NoError(t, b.install(Options{Mode: Docker}))
	testutil.Equal(t, b.read(daemonJSON), "{\n    \"log-driver\": \"json-file\",\n    \"big\": 12345678901234567890,\n    \"dns\": [\n        \"127.0.0.1\"\n    ]\n}\n")
	testutil.Equal(t, b.read(resolvConf), corporate)
	testutil.NoError(t, b.Uninstall(t.Context(), Options{}))
	testutil.Equal(t, b.read(daemonJSON), before)
}

// TestDocker_EditedSince: only berth's own value is taken out of a file that others changed.
func TestDocker_EditedSince(t *testing.T) {
	b := newBench(t)
	onBridge(b)
	testutil.NoError(t, b.install(Options{Mode: Docker}))
	b.write(daemonJSON, `{"dns":["127.0.0.1"],"live-restore":true}`)
	testutil.NoError(t, b.Uninstall(t.Context(), Options{}))
	testutil.Equal(t, b.read(daemonJSON), "{\n  \"live-restore\": true\n}\n")

	testutil.NoError(t, b.install(Options{Mode: Docker}))
	b.write(daemonJSON, `{"dns":["9.9.9.9"]}`)
	b.said()
	testutil.NoError(t, b.Uninstall(t.Context(), Options{}))
	contains(t, b.said(), "/dns was changed since; it stays")
	testutil.Equal(t, b.read(daemonJSON), `{"dns":["9.9.9.9"]}`)

	os.Remove(b.path(daemonJSON))
	testutil.NoError(t, b.install(Options{Mode: Docker}))
	os.Remove(b.path(daemonJSON))
	testutil.NoError(t, b.Uninstall(t.Context(), Options{}))
}

// TestDocker_Warned: a host with Docker whose containers would be left without a server.
func TestDocker_Warned(t *testing.T) {
	b := newBench(t)
	testutil.NoError(t, os.MkdirAll(b.path("/etc/docker"), 0o755))
	testutil.NoError(t, b.install(Options{DryRun: true}))
	contains(t, b.said(), "have no server of this host: add --docker")
	b.write(daemonJSON, `{"dns":["10.0.0.1"]}`)
	testutil.NoError(t, b.install(Options{DryRun: true}))
	if text := b.said(); strings.Contains(text, "--docker") {
		t.Error(text)
	}
}

// TestDocker_Refused: a dockerd that does not take the file ends in a roll back.
func TestDocker_Refused(t *testing.T) {
	b := newBench(t)
	onBridge(b)
	b.runner.missing = nil
	b.runner.reply["dockerd --help"] = func([]string) (string, error) { return "  --validate  Validate daemon configuration and exit\n", nil }
	b.runner.reply["dockerd --validate"] = func([]string) (string, error) {
		return "", errors.New("the following directives don't match any configuration option: bogus")
	}
	b.write(daemonJSON, `{"bogus":1}`)
	err := b.install(Options{Docker: true})
	wantError(t, err, "bogus", "as before")
	testutil.Equal(t, b.read(daemonJSON), `{"bogus":1}`)
	testutil.Equal(t, b.read(resolvConf), corporate)
}
