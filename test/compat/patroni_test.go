//go:build programs

package compat

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pgNode is a PostgreSQL under Patroni.
type pgNode struct {
	*process
	name, ip, dir string
	port, rest    int
}

const patroniConfig = `
scope: compat
name: %[1]s
restapi: {listen: "%[2]s:%[3]d", connect_address: "%[2]s:%[3]d"}
consul: {host: "%[4]s", register_service: true}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 2
    retry_timeout: 3
    postgresql: {use_pg_rewind: false, parameters: {max_connections: 20, shared_buffers: 8MB, fsync: "off"}}
  initdb: [encoding: UTF8, no-sync, {auth-host: trust}, {auth-local: trust}]
postgresql:
  listen: "%[2]s:%[5]d"
  connect_address: "%[2]s:%[5]d"
  data_dir: %[6]s/data
  bin_dir: %[7]s
  pgpass: %[6]s/pgpass
  pg_hba: ["local all all trust", "host all all 127.0.0.0/8 trust", "host replication all 127.0.0.0/8 trust"]
  authentication: {superuser: {username: postgres, password: x}, replication: {username: replicator, password: x}}
  parameters: {unix_socket_directories: %[6]s}
`

// startPatroni runs a node as the user postgres, in a folder that it owns.
func startPatroni(t *testing.T, a *agent, i int) *pgNode {
	t.Helper()
	u, err := user.Lookup("postgres")
	noError(t, err)
	uid, err := strconv.Atoi(u.Uid)
	noError(t, err)
	gid, err := strconv.Atoi(u.Gid)
	noError(t, err)
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		t.Fatal("PostgreSQL is missing: run `make compat`, which installs it")
	}
	n := &pgNode{name: fmt.Sprintf("pg%d", i), ip: fmt.Sprintf("127.0.0.%d", 10+i), port: freePort(t), rest: freePort(t)}
	n.dir, err = os.MkdirTemp("", "compat-"+n.name+"-")
	noError(t, err)
	t.Cleanup(func() { os.RemoveAll(n.dir) })
	config := filepath.Join(n.dir, "patroni.yml")
	noError(t, os.WriteFile(config, fmt.Appendf(nil, patroniConfig, n.name, n.ip, n.rest, a.addr(), n.port, n.dir, bins[len(bins)-1]), 0o644))
	noError(t, os.Chown(n.dir, uid, gid))
	t.Cleanup(func() { n.killPostgres() }) // after Patroni's own end, which stops it as a rule
	cmd := exec.Command(program(t, "patroni"), config)
	cmd.Dir = n.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	n.process = start(t, cmd)
	return n
}

// killPostgres kills the node's postmaster, if it runs, by the pid that it has written down.
func (n *pgNode) killPostgres() {
	text, err := os.ReadFile(filepath.Join(n.dir, "data", "postmaster.pid"))
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.SplitN(string(text), "\n", 2)[0]); err == nil && pid > 1 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// sql runs a statement over TCP and gives its output.
func (n *pgNode) sql(statement string) (string, error) {
	cmd := exec.Command("psql", "-h", n.ip, "-p", fmt.Sprint(n.port), "-U", "postgres", "-AtXqc", statement)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", n.name, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// leaderOf asks the databases themselves which one takes writes.
func leaderOf(nodes []*pgNode) (*pgNode, error) {
	var leader *pgNode
	var all []error
	for _, n := range nodes {
		recovering, err := n.sql("select pg_is_in_recovery()")
		switch {
		case err != nil:
			all = append(all, err)
		case recovering == "f" && leader != nil:
			return nil, fmt.Errorf("%s and %s both take writes", leader.name, n.name)
		case recovering == "f":
			leader = n
		}
	}
	if leader == nil {
		return nil, errors.Join(append(all, errors.New("no leader"))...)
	}
	return leader, nil
}

// Patroni elects a PostgreSQL leader by sessions and keys in berth, and another one when the
// first is killed.
func TestPatroni(t *testing.T) {
	t.Parallel()
	a := server(t)
	nodes := []*pgNode{startPatroni(t, a, 1), startPatroni(t, a, 2)}
	var leader *pgNode
	eventually(t, 90*time.Second, func() (err error) {
		leader, err = leaderOf(nodes)
		return err
	})
	other := nodes[0]
	if other == leader {
		other = nodes[1]
	}
	_, err := leader.sql("create table kept (v text); insert into kept values ('before')")
	noError(t, err)
	eventually(t, 90*time.Second, func() error {
		v, err := other.sql("select v from kept")
		if err == nil && v != "before" {
			err = fmt.Errorf("the replica has %q", v)
		}
		return err
	})
	wantTagged(t, a, "master", leader)
	wantTagged(t, a, "replica", other)
	if p := must(a.KV().Get("service/compat/leader", nil))(t); p == nil || string(p.Value) != leader.name || p.Session == "" {
		t.Fatalf("the leader's key: %+v", p)
	}
	t.Logf("patroni: %s leads, %s follows; killing %s", leader.name, other.name, leader.name)

	began := time.Now()
	noError(t, leader.cmd.Process.Signal(syscall.SIGKILL))
	leader.killPostgres()
	eventually(t, 90*time.Second, func() error {
		_, err := other.sql("insert into kept values ('after')")
		return err
	})
	t.Logf("patroni: %s takes writes %.1f s after the kill", other.name, time.Since(began).Seconds())
	v, err := other.sql("select string_agg(v, ',' order by v desc) from kept")
	noError(t, err)
	equal(t, v, "before,after")
	wantTagged(t, a, "master", other)
}

// wantTagged waits until Patroni's registration has one instance with the tag, the node's.
func wantTagged(t *testing.T, a *agent, tag string, n *pgNode) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		entries, _, err := a.Health().Service("compat", tag, true, nil)
		if err == nil && (len(entries) != 1 || entries[0].Service.Port != n.port) {
			err = fmt.Errorf("%d healthy instances with tag %s", len(entries), tag)
		}
		return err
	})
}
