//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"
)

// The controller that leads is killed with -9: the name stays, the other one takes over and still
// fails over. A switch to what does not exist changes nothing.
func TestFailover_AnotherControllerTakesOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, pkg := range map[string]string{"failover": "berth/compose/mysql-failover/failover", "mysqlstub": "berth/test/mysqlstub"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg).CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	stub, port := filepath.Join(dir, "mysqlstub"), testutil.FreePort(t)
	a := startAgent(t, "", "-dev")
	run := map[string]*process{}
	start := func(id string) {
		run[id] = startProcess(t, os.Environ(), stub, "serve", id, fmt.Sprintf("%s:%d", databaseAddrs[id], port))
	}
	for id, addr := range databaseAddrs {
		start(id)
		_, err := a.put("/v1/agent/service/register", fmt.Sprintf(`{"Name":"mysql","ID":%q,"Address":%q,"Port":%d,
			"Check":{"TCP":"%s:%d","Interval":"1s","Timeout":"1s"}}`, id, addr, port, addr, port))
		testutil.NoError(t, err)
	}
	is := func(id, mode string) {
		t.Helper()
		testutil.Eventually(t, 10*time.Second, 50*time.Millisecond, func() error {
			out, err := exec.Command(stub, "who", net.JoinHostPort(databaseAddrs[id], fmt.Sprint(port))).CombinedOutput()
			if got := strings.TrimSpace(string(out)); err == nil && got != id+" "+mode {
				err = fmt.Errorf("%s, want it %s", got, mode)
			}
			return err
		})
	}
	controller := func() *process {
		return startProcess(t, os.Environ(), filepath.Join(dir, "failover"), "-http-addr", fmt.Sprintf("127.0.0.1:%d", a.http),
			"-primary", "mysql-1", "-promote", stub+" promote", "-demote", stub+" demote")
	}
	leads := func(p *process) {
		t.Helper()
		testutil.Eventually(t, 40*time.Second, 50*time.Millisecond, func() error {
			if !strings.Contains(p.log.String(), "msg=leading") {
				return fmt.Errorf("the controller does not lead")
			}
			return nil
		})
	}
	log := logAnswers(t, a, vip)
	first := controller()
	leads(first)
	log.waitFor(t, databaseAddrs["mysql-1"])
	is("mysql-1", "writable")
	is("mysql-2", "read-only")

	second := controller()
	first.end(syscall.SIGKILL)
	died := time.Now()
	leads(second)
	t.Logf("the other controller leads %v after the first was killed", time.Since(died).Round(100*time.Millisecond))
	log.waitFor(t, databaseAddrs["mysql-1"])
	if answers, _ := log.seen(); len(answers) != 1 {
		t.Errorf("the name moved while the controllers changed: %q", answers)
	}

	_, err := a.put("/v1/kv/failover/mysql/want", "mysql-9")
	testutil.NoError(t, err)
	testutil.Eventually(t, 5*time.Second, 50*time.Millisecond, func() error {
		if _, err := a.get("/v1/kv/failover/mysql/want"); err == nil {
			return fmt.Errorf("the request for an unknown database is still there")
		}
		return nil
	})
	log.waitFor(t, databaseAddrs["mysql-1"])

	run["mysql-1"].end(syscall.SIGKILL)
	log.waitFor(t, databaseAddrs["mysql-2"])
	is("mysql-2", "writable")
	start("mysql-1")
	is("mysql-1", "read-only")
	log.waitFor(t, databaseAddrs["mysql-2"])
}
