package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/internal/testutil"
)

// TestUnit_Privileges: the service may bind port 53 and has no other right.
func TestUnit_Privileges(t *testing.T) {
	unit, err := os.ReadFile(filepath.Join("..", "..", "packaging", "berth.service"))
	testutil.NoError(t, err)
	for _, line := range []string{
		"User=berth", "AmbientCapabilities=CAP_NET_BIND_SERVICE", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE", "NoNewPrivileges=yes",
		"ProtectSystem=strict", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
	} {
		if !strings.Contains(string(unit), "\n"+line+"\n") {
			t.Errorf("packaging/berth.service has no line %s", line)
		}
	}
}

// TestAgent_Port53WithoutRoot runs the agent as the unit does: as nobody, with the right to bind
// low ports only, in a network namespace where port 53 is free.
func TestAgent_Port53WithoutRoot(t *testing.T) {
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("needs root, and builds the program")
	}
	for _, tool := range []string{"unshare", "setpriv", "ip", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	if out, err := exec.Command("unshare", "-n", "true").CombinedOutput(); err != nil {
		t.Skipf("no namespaces here: %v %s", err, out)
	}
	dir, err := os.MkdirTemp("/tmp", "berth") // t.TempDir is closed to nobody
	testutil.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	testutil.NoError(t, os.Chmod(dir, 0o777))
	program := filepath.Join(dir, "berth")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	script := fmt.Sprintf(`ip link set lo up
setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all,+net_bind_service \
	--inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service %[1]s agent -server -bootstrap-expect=1 -bind=127.0.0.1 -data-dir=%[2]s/data -config 'registrator: {enabled: false}' >%[2]s/log 2>&1 &
agent=$!
for i in $(seq 300); do
	%[1]s resolve -dns-addr=127.0.0.1:53 consul.service.consul && break
	sleep 0.1
done
grep -E '^(Uid|CapEff)' /proc/$agent/status
kill $agent`, program, dir)
	cmd := exec.Command("unshare", "-n", "sh", "-c", script)
	cmd.WaitDelay = time.Minute
	out, err = cmd.CombinedOutput()
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	for _, want := range []string{"consul.service.consul.\t0\tA\t127.0.0.1", "Uid:\t65534", "CapEff:\t0000000000000400"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("no %q, %v:\n%s\n%s", want, err, out, log)
		}
	}
}
