package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/testutil"

	"golang.org/x/sys/unix"
)

// TestHost_Usage: wrong command lines have status 2.
func TestHost_Usage(t *testing.T) {
	for _, x := range []struct{ args, want string }{
		{"host install -mode bogus -dry-run", `unknown mode "bogus"`},
		{"host install -search middle -dry-run", "first, last or none"},
		{"host install -address nonsense", "-address"},
		{"host install -docker-address 1.2.3", "-docker-address"},
		{"host install -mode resolvconf-file -address 127.0.0.1:8600 -dry-run", "no room for a port"},
		{"host install now", `unexpected argument "now"`},
		{"host install -nope", "-nope"},
		{"host status a b", `unexpected argument "b"`},
		{"host status a_/b", "not a name"},
		{"host doctor -address x", "-address"},
		{"host lookup", "one NAME"},
	} {
		r := berthCommand(t, []string{"BERTH_HTTP_ADDR=127.0.0.1:1"}, "", strings.Fields(x.args)...)
		if r.status != 2 || !strings.Contains(r.stderr, x.want) {
			t.Errorf("berth %s: status %d, %s", x.args, r.status, r.stderr)
		}
	}
}

func TestHost_Print(t *testing.T) {
	a := newFakeAgent(t, map[string]string{"GET /v1/agent/self": `{"DebugConfig":{"DNSDomain":"corp.berth"}}`})
	r := a.ask(t, "host", "install", "-mode", "print", "-address", "127.0.0.1:8600")
	testutil.Equal(t, r.status, 0)
	if !strings.Contains(r.stdout, "server=/corp.berth/127.0.0.1#8600") {
		t.Error(r.stdout)
	}
}

// TestHost_Namespace runs the real program in mount and network namespaces of its own, on a
// copy of this machine's root: TestHost_InNamespace has what happens there.
func TestHost_Namespace(t *testing.T) { runInNamespace(t) }

// runInNamespace starts TestHost_InNamespace with more environment.
func runInNamespace(t *testing.T, environ ...string) {
	t.Helper()
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, tool := range []string{"unshare", "dnsmasq", "getent", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	if out, err := exec.Command("unshare", "-m", "-n", "true").CombinedOutput(); err != nil {
		t.Skipf("no namespaces here: %v %s", err, out)
	}
	dir := t.TempDir()
	self, err := os.Executable()
	testutil.NoError(t, err)
	testutil.NoError(t, copyProgram(self, filepath.Join(dir, "berth")))
	cmd := exec.Command("unshare", "-m", "-n", self, "-test.run=^TestHost_InNamespace$", "-test.v")
	cmd.Env = append(append(os.Environ(), "BERTH_TEST_NAMESPACE="+dir), environ...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// copyProgram makes the test binary the program: see TestMain.
func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// hostBench is a machine in namespaces: resolv.conf names a dnsmasq, and an agent runs.
type hostBench struct {
	t       *testing.T
	berth   string
	agent   *exec.Cmd
	dnsmasq *exec.Cmd
}

const corporateConf = "# corporate\nsearch corp.example\nnameserver 10.99.0.53\noptions edns0 rotate\n"

// TestHost_InNamespace does nothing unless TestHost_Namespace started it.
func TestHost_InNamespace(t *testing.T) {
	dir := os.Getenv("BERTH_TEST_NAMESPACE")
	if dir == "" {
		t.Skip("TestHost_Namespace starts it")
	}
	b := &hostBench{t: t, berth: filepath.Join(dir, "berth")}
	owner := os.Getenv("BERTH_TEST_OWNER")
	script, err := os.ReadFile(filepath.Join("testdata", "host", owner+".sh"))
	if owner != "" {
		testutil.NoError(t, err)
	}
	b.enter(dir)
	b.write("/etc/resolv.conf", corporateConf)
	b.write("/etc/nsswitch.conf", "hosts: files dns\n")
	b.dnsmasq = b.start("dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--listen-address=10.99.0.53", "--bind-interfaces",
		"--address=/example.com/192.0.2.7", "--local=/corp.example/")
	b.startAgent()
	defer b.kill(&b.dnsmasq)
	defer b.kill(&b.agent)
	if owner != "" {
		b.owner(t, owner, string(script))
		return
	}
	for _, x := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"works and goes back with the agent dead", b.andBack},
		{"bind mount is written in place", b.bindMount},
		{"not confirmed", b.notConfirmed},
		{"rolled back", b.rolledBack},
		{"docker", b.docker},
		{"musl", b.musl},
		{"dhclient", b.dhclient},
		{"without getent", b.withoutGetent},
		{"read-only", b.readOnly},
		{"not root", b.notRoot},
		{"port held", b.portHeld},
	} {
		t.Run(x.name, x.run)
	}
}

// enter makes the root a writable copy that ends with the namespace.
func (b *hostBench) enter(dir string) {
	b.t.Helper()
	ov := filepath.Join(dir, "overlay")
	must := func(err error) { b.t.Helper(); testutil.NoError(b.t, err) }
	must(unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
	must(os.MkdirAll(ov, 0o755))
	must(unix.Mount("tmpfs", ov, "tmpfs", 0, ""))
	for _, d := range []string{"u", "w", "m"} {
		must(os.Mkdir(filepath.Join(ov, d), 0o755))
	}
	root := filepath.Join(ov, "m")
	if err := unix.Mount("overlay", root, "overlay", 0, fmt.Sprintf("lowerdir=/,upperdir=%s/u,workdir=%s/w", ov, ov)); err != nil {
		b.t.Skipf("no overlay file system here: %v", err)
	}
	for _, d := range []string{"/proc", "/dev"} {
		must(unix.Mount(d, root+d, "", unix.MS_BIND|unix.MS_REC, ""))
	}
	must(unix.Mount("tmpfs", root+"/run", "tmpfs", 0, ""))
	must(unix.Chroot(root))
	must(os.Chdir("/"))
	b.sh("ip link set lo up && ip addr add 10.99.0.53/32 dev lo")
	_ = os.RemoveAll("/var/lib/berth")
	_ = os.Remove("/etc/resolv.conf")
}

func (b *hostBench) write(name, text string) {
	testutil.NoError(b.t, os.MkdirAll(filepath.Dir(name), 0o755))
	testutil.NoError(b.t, os.WriteFile(name, []byte(text), 0o644))
}

func (b *hostBench) start(argv ...string) *exec.Cmd {
	b.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	testutil.NoError(b.t, cmd.Start())
	return cmd
}

func (b *hostBench) kill(cmd **exec.Cmd) {
	if *cmd != nil {
		_ = (*cmd).Process.Signal(syscall.SIGKILL)
		_ = (*cmd).Wait()
		*cmd = nil
	}
}

// startAgent runs an agent with a service called web until it answers on port 53.
func (b *hostBench) startAgent() {
	b.t.Helper()
	b.write("/tmp/berth.yaml", "services:\n  - name: web\n    address: 10.1.2.3\n    port: 80\nregistrator:\n  enabled: false\n")
	b.agent = b.start(b.berth, "agent", "-server", "-bootstrap-expect=1", "-data-dir=/tmp/berth-data", "-bind=127.0.0.1", "-config-file=/tmp/berth.yaml")
	testutil.Eventually(b.t, 20*time.Second, 50*time.Millisecond, func() error {
		out, err := exec.Command(b.berth, "resolve", "-dns-addr=127.0.0.1:53", "web.service.consul").CombinedOutput()
		if err != nil {
			return errors.New(string(out))
		}
		return nil
	})
}

func (b *hostBench) sh(line string) string {
	b.t.Helper()
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// host runs `berth host ...` and wants a status and texts in its output.
func (b *hostBench) host(t *testing.T, status int, args string, want ...string) {
	t.Helper()
	cmd := exec.Command(b.berth, append([]string{"host"}, strings.Fields(args)...)...)
	out, _ := cmd.CombinedOutput()
	t.Logf("$ berth host %s\n%s", args, out)
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Fatalf("berth host %s: status %d, want %d", args, got, status)
	}
	for _, w := range want {
		if !strings.Contains(string(out), w) {
			t.Fatalf("berth host %s does not say %q", args, w)
		}
	}
}

// resolves wants getaddrinfo to find name at addr; "" is nowhere.
func (b *hostBench) resolves(t *testing.T, name, addr string) {
	t.Helper()
	out, _ := exec.Command("getent", "ahosts", name).Output()
	if addr == "" && len(out) > 0 || !strings.HasPrefix(string(out), addr) {
		t.Fatalf("getent ahosts %s: %q, want %q", name, out, addr)
	}
}

func (b *hostBench) file(t *testing.T, name, want string) {
	t.Helper()
	data, err := os.ReadFile(name)
	testutil.NoError(t, err)
	testutil.Equal(t, string(data), want)
}

func (b *hostBench) andBack(t *testing.T) {
	b.resolves(t, "web", "")
	b.host(t, 0, "install --yes", "getaddrinfo web: 10.1.2.3", "getaddrinfo example.com.: 192.0.2.7", "Installed")
	b.resolves(t, "web", "10.1.2.3")
	b.resolves(t, "example.com", "192.0.2.7")
	b.host(t, 0, "status", "udp 127.0.0.1:53          berth (pid", "Upstreams of berth, from /var/lib/berth/host-upstreams.conf")
	b.host(t, 0, "doctor", "[ok  ] installed in mode resolvconf-file")
	b.kill(&b.agent)
	b.resolves(t, "web", "")
	b.host(t, 1, "doctor", "[FAIL] no answer from berth")
	b.startAgent() // reads its upstreams from where install left them
	b.resolves(t, "example.com", "192.0.2.7")
	b.kill(&b.agent)
	b.sh("ip link set lo down") // and no network
	b.host(t, 0, "uninstall", "restored /etc/resolv.conf")
	b.sh("ip link set lo up; ip addr replace 10.99.0.53/32 dev lo")
	b.file(t, "/etc/resolv.conf", corporateConf)
	b.startAgent()
	b.resolves(t, "example.com", "192.0.2.7")
}

func (b *hostBench) bindMount(t *testing.T) {
	b.write("/tmp/private", corporateConf)
	testutil.NoError(t, unix.Mount("/tmp/private", "/etc/resolv.conf", "", unix.MS_BIND, ""))
	b.host(t, 0, "install --yes --search none --fallback", "Installed")
	b.file(t, "/tmp/private", "# Written by `berth host install`. `berth host uninstall` puts the former file back.\n"+
		"nameserver 127.0.0.1\nnameserver 10.99.0.53\nsearch corp.example\noptions timeout:2 attempts:2 edns0\n")
	b.resolves(t, "web", "10.1.2.3") // berth answers the single label itself
	b.host(t, 0, "uninstall")
	b.file(t, "/tmp/private", corporateConf)
	testutil.NoError(t, unix.Unmount("/etc/resolv.conf", 0))
}

func (b *hostBench) notConfirmed(t *testing.T) {
	b.host(t, 1, "install --yes --confirm 1", "not confirmed within 1s", "everything is as before")
	b.file(t, "/etc/resolv.conf", corporateConf)
}

func (b *hostBench) rolledBack(t *testing.T) {
	b.write("/etc/nsswitch.conf", "hosts: files\n")
	b.host(t, 1, "install --yes", "[FAIL] getaddrinfo", "everything is as before")
	b.write("/etc/nsswitch.conf", "hosts: files dns\n")
	b.file(t, "/etc/resolv.conf", corporateConf)
}

func (b *hostBench) docker(t *testing.T) {
	const conf = "{\n    \"live-restore\": true\n}\n"
	b.write("/etc/docker/daemon.json", conf)
	if out, err := exec.Command("sh", "-c", "ip link add docker0 type bridge && ip addr add 172.17.0.1/16 dev docker0 && ip link set docker0 up").CombinedOutput(); err != nil {
		t.Skipf("no bridges here: %v %s", err, out)
	}
	b.kill(&b.agent)
	b.startAgent()
	b.host(t, 0, "install --yes --docker", "berth at 172.17.0.1:53", "restart dockerd")
	b.file(t, "/etc/docker/daemon.json", "{\n    \"live-restore\": true,\n    \"dns\": [\n        \"172.17.0.1\"\n    ]\n}\n")
	b.host(t, 0, "doctor", "containers ask berth at 172.17.0.1")
	b.host(t, 0, "uninstall")
	b.file(t, "/etc/docker/daemon.json", conf)
	b.sh("ip link del docker0")
	testutil.NoError(t, os.Remove("/etc/docker/daemon.json"))
}

// dhclient: a new lease goes to berth and leaves resolv.conf alone.
func (b *hostBench) dhclient(t *testing.T) {
	testutil.NoError(t, os.MkdirAll("/etc/dhcp/dhclient-enter-hooks.d", 0o755))
	b.host(t, 0, "install --yes")
	before, _ := os.ReadFile("/etc/resolv.conf")
	b.sh(`make_resolv_conf() { echo nameserver 9.9.9.9 >/etc/resolv.conf; }
		. /etc/dhcp/dhclient-enter-hooks.d/zz-berth
		interface=eth0 new_domain_name_servers="10.99.0.54 10.99.0.53"; make_resolv_conf`)
	b.file(t, "/etc/resolv.conf", string(before))
	b.host(t, 0, "status", "host-upstreams.conf unless recursors are configured:\n  10.99.0.54\n  10.99.0.53\n")
	b.host(t, 0, "uninstall", "removed /etc/dhcp/dhclient-enter-hooks.d/zz-berth")
	b.file(t, "/etc/resolv.conf", corporateConf)
}

func (b *hostBench) withoutGetent(t *testing.T) {
	getent, err := exec.LookPath("getent")
	testutil.NoError(t, err)
	testutil.NoError(t, os.Rename(getent, getent+".away"))
	b.host(t, 0, "install --yes", "getaddrinfo web: 10.1.2.3")
	b.host(t, 0, "uninstall")
	testutil.NoError(t, os.Rename(getent+".away", getent))
}

func (b *hostBench) readOnly(t *testing.T) {
	testutil.NoError(t, unix.Mount("/etc", "/etc", "", unix.MS_BIND, ""))
	testutil.NoError(t, unix.Mount("", "/etc", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	b.host(t, 1, "install --yes", "read-only", "--mode print")
	testutil.NoError(t, unix.Unmount("/etc", 0))
	b.file(t, "/etc/resolv.conf", corporateConf)
}

func (b *hostBench) notRoot(t *testing.T) {
	testutil.NoError(t, os.MkdirAll("/opt/test", 0o755))
	b.sh("cp " + b.berth + " /opt/test/berth && chmod 755 /opt/test/berth")
	cmd := exec.Command("/opt/test/berth", "host", "install", "--yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "sudo berth host install") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func (b *hostBench) portHeld(t *testing.T) {
	b.kill(&b.agent)
	other := b.start("dnsmasq", "--no-daemon", "--no-resolv", "--listen-address=127.0.0.1", "--bind-interfaces")
	defer b.kill(&other)
	testutil.Eventually(t, 5*time.Second, 50*time.Millisecond, func() error {
		out, _ := exec.Command(b.berth, "host", "status").Output()
		if !strings.Contains(string(out), "udp 127.0.0.1:53          dnsmasq (pid") {
			return errors.New(string(out))
		}
		return nil
	})
	b.host(t, 1, "install --yes", "127.0.0.1:53 is held by dnsmasq (pid", "8600")
	b.file(t, "/etc/resolv.conf", corporateConf)
}

// musl resolves as programs of Alpine do.
func (b *hostBench) musl(t *testing.T) {
	if _, err := exec.LookPath("musl-gcc"); err != nil {
		t.Skip(err)
	}
	b.write("/tmp/look.c", `#include <netdb.h>
#include <stdio.h>
#include <arpa/inet.h>
int main(int n, char **v) {
	struct addrinfo *a, hint = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
	int e = getaddrinfo(v[1], 0, &hint, &a);
	if (e) { puts(gai_strerror(e)); return 1; }
	puts(inet_ntoa(((struct sockaddr_in *)a->ai_addr)->sin_addr));
	return 0;
}
`)
	b.sh("musl-gcc -static -o /tmp/look /tmp/look.c")
	for _, search := range []string{"first", "none"} {
		b.host(t, 0, "install --yes --search "+search)
		testutil.Equal(t, b.sh("/tmp/look web"), "10.1.2.3\n")
		testutil.Equal(t, b.sh("/tmp/look example.com"), "192.0.2.7\n")
		b.host(t, 0, "uninstall")
	}
}
