package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"
)

// TestHost_Owners installs over the real owners of resolv.conf, each in namespaces of its own.
// BERTH_TEST_DEBS is a folder with Debian 12's packages resolvconf, openresolv and
// systemd-resolved, and network-manager with what it needs in the folder nm below it
// (apt-get download).
func TestHost_Owners(t *testing.T) {
	if os.Getenv("BERTH_TEST_DEBS") == "" {
		t.Skip("BERTH_TEST_DEBS names no packages")
	}
	for _, owner := range []string{"resolvconf", "openresolv", "resolved", "networkmanager"} {
		t.Run(owner, func(t *testing.T) { runInNamespace(t, "BERTH_TEST_OWNER="+owner) })
	}
}

// owner is TestHost_InNamespace for one of them.
func (b *hostBench) owner(t *testing.T, owner, script string) {
	cmd := exec.Command("sh", "-ec", script)
	cmd.Env = append(os.Environ(), "DEBS="+os.Getenv("BERTH_TEST_DEBS"), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	testutil.NoError(t, cmd.Run())
	defer b.stopOwner()
	testutil.Eventually(t, 20*time.Second, 100*time.Millisecond, func() error {
		out, err := exec.Command("getent", "ahosts", "example.com").Output()
		if err == nil && !strings.HasPrefix(string(out), "192.0.2.7") {
			err = errors.New(string(out))
		}
		return err
	})
	before := b.picture(t)
	mode := owner
	if owner == "openresolv" {
		mode = "resolvconf"
	}
	b.host(t, 0, "install --yes", "mode "+mode, "getaddrinfo web: 10.1.2.3", "getaddrinfo example.com.: 192.0.2.7")
	b.resolves(t, "web", "10.1.2.3")
	b.host(t, 0, "doctor", "[ok  ] upstreams from /var/lib/berth/host-upstreams.conf: 10.99.0.53\n")
	b.kill(&b.agent)
	b.host(t, 0, "uninstall", "Uninstalled, mode "+mode)
	testutil.Eventually(t, 5*time.Second, 50*time.Millisecond, func() error {
		if now := b.picture(t); now != before {
			return errors.New(now)
		}
		return nil
	})
	b.resolves(t, "example.com", "192.0.2.7")
	if left := b.sh("find /etc /lib/resolvconf /var/lib/berth -name '*berth*' -not -path '/var/lib/berth' 2>/dev/null || true"); strings.TrimSpace(left) != "" {
		t.Errorf("left behind: %s", left)
	}
}

// picture is resolv.conf: a link's target and what it says.
func (b *hostBench) picture(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/etc/resolv.conf")
	testutil.NoError(t, err)
	target, _ := os.Readlink("/etc/resolv.conf")
	return target + "\n" + string(data)
}

// stopOwner ends what the script started.
func (b *hostBench) stopOwner() {
	data, _ := os.ReadFile("/run/stop.pids")
	for f := range strings.FieldsSeq(string(data)) {
		if pid, err := strconv.Atoi(f); err == nil {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
	}
}
