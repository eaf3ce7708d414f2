//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"

	"github.com/miekg/dns"
)

const vip = "mysql-vip.service.consul"

// databases is two MariaDB servers on addresses of their own, as hosts would be.
type databases struct {
	t    *testing.T
	root string
	env  []string
	dir  string
	port int
	run  map[string]*process
}

var databaseAddrs = map[string]string{"mysql-1": "127.0.21.1", "mysql-2": "127.0.21.2"}

func newDatabases(t *testing.T) *databases {
	root, env := debRoot(t, "mariadb", "mariadb-server-core", "mariadb-client-core")
	d := &databases{t: t, root: root, env: env, dir: t.TempDir(), port: testutil.FreePort(t), run: map[string]*process{}}
	install := exec.Command(filepath.Join(root, "usr/bin/mariadb-install-db"), "--no-defaults", "--basedir="+filepath.Join(root, "usr"),
		"--datadir="+filepath.Join(d.dir, "mysql-1"), "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db")
	install.Env = env
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install the database: %v\n%s", err, out)
	}
	if out, err := exec.Command("cp", "-a", filepath.Join(d.dir, "mysql-1"), filepath.Join(d.dir, "mysql-2")).CombinedOutput(); err != nil {
		t.Fatalf("copy the database: %v\n%s", err, out)
	}
	writeFile(t, filepath.Join(d.dir, "init.sql"), "SET sql_log_bin=0;\n"+
		"CREATE USER IF NOT EXISTS 'app'@'%' IDENTIFIED BY 'app';\nGRANT SELECT, INSERT, CREATE ON *.* TO 'app'@'%';\n"+
		"CREATE USER IF NOT EXISTS 'failover'@'%' IDENTIFIED BY 'secret';\nGRANT ALL ON *.* TO 'failover'@'%';\n"+
		"CREATE USER IF NOT EXISTS 'repl'@'%' IDENTIFIED BY 'repl';\nGRANT REPLICATION SLAVE ON *.* TO 'repl'@'%';\n")
	return d
}

// start runs one database, read-only as it should start on every host.
func (d *databases) start(id string) {
	data := filepath.Join(d.dir, id)
	p := startProcess(d.t, d.env, filepath.Join(d.root, "usr/sbin/mariadbd"), "--no-defaults", "--user=root", "--basedir="+filepath.Join(d.root, "usr"),
		"--datadir="+data, "--plugin-dir="+filepath.Join(d.root, "usr/lib/mysql/plugin"), "--bind-address="+databaseAddrs[id],
		fmt.Sprintf("--port=%d", d.port), "--socket="+filepath.Join(d.dir, id+".sock"), "--pid-file="+filepath.Join(data, "pid"),
		"--server-id="+id[len(id)-1:], "--log-bin=binlog", "--log-slave-updates", "--gtid-strict-mode=1", "--read-only=1",
		"--init-file="+filepath.Join(d.dir, "init.sql"), "--innodb-buffer-pool-size=16M", "--performance-schema=0", "--skip-name-resolve")
	d.run[id] = p
}

// sql runs a statement as the application does, at an address.
func (d *databases) sql(addr, statement string) (string, error) {
	cmd := exec.Command(filepath.Join(d.root, "usr/bin/mariadb"), "--no-defaults", "-N", "-u", "app", "-papp", "--connect-timeout=2",
		"-h", addr, fmt.Sprintf("-P%d", d.port), "-e", statement)
	cmd.Env = d.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s at %s: %w: %s", statement, addr, err, out)
	}
	return strings.TrimSpace(string(out)), err
}

func (d *databases) want(id, statement, want string) {
	d.t.Helper()
	testutil.Eventually(d.t, 15*time.Second, 50*time.Millisecond, func() error {
		got, err := d.sql(databaseAddrs[id], statement)
		if err == nil && got != want {
			err = fmt.Errorf("%s: %s gives %q, want %q", id, statement, got, want)
		}
		return err
	})
}

// dnsLog is each change of a name's answer, asked without a pause.
type dnsLog struct {
	mu      sync.Mutex // guards what follows
	answers []string   // "" is NXDOMAIN
	times   []time.Time
	asked   int
}

func logAnswers(t *testing.T, a *agent, name string) *dnsLog {
	l, stop, done := &dnsLog{}, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			got, _, err := a.answers(name, dns.TypeA)
			text := strings.Join(got, " ")
			if err != nil {
				text = err.Error()
			}
			l.mu.Lock()
			l.asked++
			if n := len(l.answers); n == 0 || l.answers[n-1] != text {
				l.answers, l.times = append(l.answers, text), append(l.times, time.Now())
			}
			l.mu.Unlock()
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return l
}

// waitFor waits until the last answer is this one, and says when it came.
func (l *dnsLog) waitFor(t *testing.T, answer string) time.Time {
	t.Helper()
	var at time.Time
	testutil.Eventually(t, 20*time.Second, 5*time.Millisecond, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		n := len(l.answers)
		if n == 0 || l.answers[n-1] != answer {
			return fmt.Errorf("answers so far: %q, want %q", l.answers, answer)
		}
		at = l.times[n-1]
		return nil
	})
	return at
}

func (l *dnsLog) seen() ([]string, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.answers), func(s string) bool { return s == "" }), l.asked
}

// A MariaDB primary is killed: the name moves to its promoted replica, with all data; it moves
// back only when told. The controller and its hooks are those of compose/mysql-failover.
func TestMariaDB_FailoverByName(t *testing.T) {
	t.Parallel()
	d := newDatabases(t)
	d.start("mysql-1")
	d.start("mysql-2")
	a := startAgent(t, "", "-dev")
	for id, addr := range databaseAddrs {
		_, err := a.put("/v1/agent/service/register", fmt.Sprintf(`{"Name":"mysql","ID":%q,"Address":%q,"Port":%d,
			"Check":{"TCP":"%s:%d","Interval":"1s","Timeout":"1s"}}`, id, addr, d.port, addr, d.port))
		testutil.NoError(t, err)
	}
	log := logAnswers(t, a, vip)
	d.controller(a)
	first, second := databaseAddrs["mysql-1"], databaseAddrs["mysql-2"]

	log.waitFor(t, first)
	_, err := d.sql(first, "CREATE DATABASE shop; CREATE TABLE shop.orders (n INT PRIMARY KEY); INSERT INTO shop.orders VALUES (1)")
	testutil.NoError(t, err)
	d.want("mysql-2", "SELECT COUNT(*) FROM shop.orders", "1")
	if _, err := d.sql(second, "INSERT INTO shop.orders VALUES (99)"); err == nil {
		t.Error("the replica took a write")
	}

	killed := time.Now()
	d.run["mysql-1"].end(syscall.SIGKILL)
	moved := log.waitFor(t, second)
	t.Logf("kill to the name pointing at the replica: %v", moved.Sub(killed).Round(time.Millisecond))
	_, err = d.sql(second, "INSERT INTO shop.orders VALUES (2)")
	testutil.NoError(t, err)

	d.start("mysql-1")
	d.want("mysql-1", "SELECT COUNT(*) FROM shop.orders", "2") // it follows the new primary
	d.want("mysql-1", "SELECT @@global.read_only", "1")
	log.waitFor(t, second)

	if out, err := a.berth("kv", "put", "failover/mysql/want", "mysql-1"); err != nil {
		t.Fatalf("berth kv put: %v: %s", err, out)
	}
	log.waitFor(t, first)
	_, err = d.sql(first, "INSERT INTO shop.orders VALUES (3)")
	testutil.NoError(t, err)
	d.want("mysql-2", "SELECT COUNT(*) FROM shop.orders", "3")
	d.want("mysql-2", "SELECT @@global.read_only", "1")

	answers, asked := log.seen()
	if want := []string{first, second, first}; !slices.Equal(slices.Compact(answers), want) {
		t.Errorf("the name answered %q, want %q with nothing else but NXDOMAIN between", answers, want)
	}
	t.Logf("%d questions, never two addresses, never the old one after the switch", asked)
}

// controller builds and runs the failover controller with MariaDB's hooks.
func (d *databases) controller(a *agent) {
	t := d.t
	t.Helper()
	bin := filepath.Join(d.dir, "failover")
	if out, err := exec.Command("go", "build", "-o", bin, "berth/compose/mysql-failover/failover").CombinedOutput(); err != nil {
		t.Fatalf("build the controller: %v\n%s", err, out)
	}
	hooks, err := filepath.Abs("../../compose/mysql-failover/hooks")
	testutil.NoError(t, err)
	defaults := writeFile(t, filepath.Join(d.dir, "client.cnf"), "[client]\nuser=failover\npassword=secret\n")
	testutil.NoError(t, os.Chmod(defaults, 0o600))
	env := append(slices.Clone(d.env), "MARIADB="+filepath.Join(d.root, "usr/bin/mariadb"), "FAILOVER_DEFAULTS="+defaults,
		"REPLICATION_USER=repl", "REPLICATION_PASSWORD=repl")
	startProcess(t, env, bin, "-http-addr", fmt.Sprintf("127.0.0.1:%d", a.http), "-service", "mysql", "-primary", "mysql-1",
		"-promote", filepath.Join(hooks, "mariadb-promote.sh"), "-demote", filepath.Join(hooks, "mariadb-demote.sh"))
}
