//go:build programs

package compat

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// outOfScope are the client's own tests that cannot pass, by what they need.
var outOfScope = map[string]string{
	"Connect|ConfigEntr|Gateway|Sidecar|Proxy|Ingress|ExposeChecks|DiscoveryChain|VirtualIP": "the service mesh",
	"Peering|Namespaces|ExportedServices|FeatureGate|MultiPort":                              "peering, tenancy and what came after Consul 1.21",
	"CatalogNode$|CatalogNodeServiceList|OperatorUsage":                                      "instances of the service mesh in the catalog",
	"SingleTag|AgentServiceAndReplaceChecks|AgentServices$":                                  "Locality, which belongs to the service mesh",
	"ACL|AuthMethod|ServiceRegisterOpts_Token|AgentUpdateToken|Snapshot_Options":             "the configuration of access control as it was before Consul 1.11",
	"SetupTLSConfig|ClientTLSOptions":                                                        "certificates that are not in the module",
	"AgentService$":                                                                          "the value of a hash that only its own server computes so",
	"AgentMetrics$":                                                                          "the host's name in metrics, which berth leaves out as long as Prometheus may ask",
	"AgentMonitor$":                                                                          "the words of Consul's log",
	"AgentLeave$":                                                                            "an answer to leave that comes when the node has left: berth answers, drains, and leaves",
}

// The test programs that come with the official client, unmodified, with berth built as the
// binary `consul` that they start. What starts it is changed in two places, in a copy: no certificate
// authority is waited for, and two settings that only a Consul has are left out.
func TestUpstreamClientTests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	version := goRun(t, ".", "list", "-m", "-f", "{{.Version}}", "github.com/hashicorp/consul/api")
	goRun(t, dir, "mod", "init", "upstream")
	goRun(t, dir, "get", "-t", "github.com/hashicorp/consul/api@"+version, "github.com/hashicorp/consul/api/watch@"+version)
	patchSDK(t, dir)
	// The tests compare a node's version with what `consul version` prints, and configure what
	// that version of Consul knows.
	goRun(t, "../..", "build", "-trimpath", "-ldflags", "-X main.version=1.21.4", "-o", filepath.Join(dir, "consul"), "./cmd/berth")

	var skip []string
	for names := range outOfScope {
		skip = append(skip, names)
	}
	out, err := upstreamTests(t, dir, "-parallel", "4", "-skip", strings.Join(skip, "|"))
	passed := len(regexp.MustCompile(`(?m)^--- PASS`).FindAll(out, -1))
	t.Logf("the client's own tests: %d passed", passed)
	if passed < 100 {
		t.Fatalf("only %d tests ran: %v\n%s", passed, err, complaints(out))
	}
	if err == nil {
		return
	}
	// Some look at one server before it can have heard from another, which shows on a busy
	// machine: what failed has a second try, alone.
	var again []string
	for _, m := range regexp.MustCompile(`(?m)^--- FAIL: (\w+)`).FindAllSubmatch(out, -1) {
		again = append(again, string(m[1]))
	}
	t.Logf("tried again: %v\n%s", again, complaints(out))
	if len(again) == 0 || len(again) > 3 {
		t.Fatal(err)
	}
	if out, err := upstreamTests(t, dir, "-parallel", "1", "-run", "^("+strings.Join(again, "|")+")$"); err != nil {
		t.Fatalf("%v\n%s", err, complaints(out))
	}
}

func upstreamTests(t *testing.T, dir string, args ...string) ([]byte, error) {
	args = append([]string{"test", "-v", "-count=1", "-vet=off", "-p", "1", "-timeout", "5m"}, args...)
	cmd := exec.CommandContext(t.Context(), "go", append(args, "github.com/hashicorp/consul/api", "github.com/hashicorp/consul/api/watch")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "DOCKER_HOST=unix://"+filepath.Join(dir, "no-engine.sock"))
	// A test that panics leaves its servers behind: they are in the process group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return out, err
}

// complaints are the lines of `go test -v` that say what went wrong.
func complaints(out []byte) []byte {
	lines := regexp.MustCompile(`(?m)^(--- FAIL|panic|# ).*|^ +\w+\.go:\d+.*(\n {8,}.*)*`).FindAll(out, -1)
	return bytes.Join(lines, []byte("\n"))
}

func goRun(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// patchSDK puts a copy of the package that starts servers in place of the module's.
func patchSDK(t *testing.T, dir string) {
	t.Helper()
	const sdk = "github.com/hashicorp/consul/sdk"
	copied := filepath.Join(dir, "sdk")
	noError(t, os.CopyFS(copied, os.DirFS(goRun(t, dir, "list", "-m", "-f", "{{.Dir}}", sdk))))
	file := filepath.Join(copied, "testutil", "server.go")
	text, err := os.ReadFile(file)
	noError(t, err)
	for old, with := range map[string]string{
		"`json:\"version,omitempty\"`":                             "`json:\"-\"`",
		"`json:\"https,omitempty\"`":                               "`json:\"-\"`",
		"func (s *TestServer) WaitForActiveCARoot(t testing.TB) {": "func (s *TestServer) WaitForActiveCARoot(t testing.TB) {\n\treturn",
	} {
		if bytes.Count(text, []byte(old)) != 1 {
			t.Fatalf("%s does not have %q once: its version has changed, adapt this test", file, old)
		}
		text = bytes.Replace(text, []byte(old), []byte(with), 1)
	}
	noError(t, os.Chmod(file, 0o644))
	noError(t, os.WriteFile(file, text, 0o644))
	goRun(t, dir, "mod", "edit", "-replace", sdk+"="+copied)
}
