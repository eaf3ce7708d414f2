//go:build programs

package compat

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// program finds a program of the machine, or one that `make compat` has put into bin/compat.
func program(t testing.TB, name string) string {
	t.Helper()
	if p, err := filepath.Abs("../../bin/compat/" + name); err == nil {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	p, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: run `make compat`, which installs it", name)
	}
	return p
}

func getJSON(url string, v any) error {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", url, resp.Status, body)
	}
	return json.Unmarshal(body, v)
}

// writeFile puts a file into a fresh folder.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	noError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// Prometheus finds its targets by consul_sd_configs and scrapes berth's own metrics.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	a := dev(t)
	register := func(id string, tags ...string) {
		noError(t, a.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: id, Name: "scraped", Address: a.ip, Port: a.http, Tags: tags, Meta: map[string]string{"team": "blue"}}))
	}
	register("one", "prod")
	register("test", "test")
	config := writeFile(t, "prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 1s}
scrape_configs:
- job_name: found
  metrics_path: /v1/agent/metrics
  params: {format: [prometheus]}
  consul_sd_configs:
  - {server: "%s", services: [scraped], tags: [prod], refresh_interval: 1s}
  relabel_configs:
  - {source_labels: [__meta_consul_service_id], target_label: id}
  - {source_labels: [__meta_consul_service_metadata_team], target_label: team}
  - {source_labels: [__meta_consul_dc], target_label: dc}
`, a.addr()))
	listen := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	start(t, exec.Command(program(t, "prometheus"), "--config.file="+config, "--storage.tsdb.path="+t.TempDir(), "--web.listen-address="+listen))

	targets := func(want string) func() error {
		return func() error {
			var v struct {
				Data struct {
					ActiveTargets []struct {
						Labels map[string]string
						Health string
					}
				}
			}
			if err := getJSON("http://"+listen+"/api/v1/targets?state=active", &v); err != nil {
				return err
			}
			var got []string
			for _, a := range v.Data.ActiveTargets {
				got = append(got, fmt.Sprintf("%s %s %s %s", a.Labels["id"], a.Labels["team"], a.Labels["dc"], a.Health))
			}
			if s := strings.Join(got, ", "); s != want {
				return fmt.Errorf("targets %q, want %q", s, want)
			}
			return nil
		}
	}
	eventually(t, 30*time.Second, targets("one blue dc1 up"))
	noError(t, a.Agent().ServiceDeregister("one"))
	eventually(t, 20*time.Second, targets(""))
	t.Logf("prometheus: target found by consul_sd_configs, scraped (up), dropped after its deregistration")
}

// consul-template renders services and keys, and renders again after each change.
func TestConsulTemplate(t *testing.T) {
	t.Parallel()
	a := dev(t)
	noError(t, a.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: "b1", Name: "backend", Address: "10.9.0.1", Port: 80,
		Check: &api.AgentServiceCheck{CheckID: "b1", TTL: "60s", Status: "passing"}}))
	_, err := a.KV().Put(&api.KVPair{Key: "conf/title", Value: []byte("first")}, nil)
	noError(t, err)
	source := writeFile(t, "in.ctmpl", `title={{ key "conf/title" }}
{{ range service "backend" }}server {{ .Address }}:{{ .Port }} on {{ .Node }}
{{ end }}{{ range ls "conf" }}{{ .Key }}={{ .Value }} {{ end }}
{{ range services }}{{ .Name }} {{ end }}
`)
	target := filepath.Join(t.TempDir(), "out")
	render := start(t, exec.Command(program(t, "consul-template"), "-consul-addr", a.addr(), "-template", source+":"+target))
	render.end = syscall.SIGINT
	rendered := func(want string) func() error {
		return func() error {
			got, err := os.ReadFile(target)
			if err == nil && string(got) != want {
				err = fmt.Errorf("rendered %q, want %q", got, want)
			}
			return err
		}
	}
	eventually(t, 20*time.Second, rendered("title=first\nserver 10.9.0.1:80 on n1\ntitle=first \nbackend consul \n"))
	noError(t, a.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: "b2", Name: "backend", Address: "10.9.0.2", Port: 81}))
	_, err = a.KV().Put(&api.KVPair{Key: "conf/title", Value: []byte("second")}, nil)
	noError(t, err)
	eventually(t, 20*time.Second, rendered("title=second\nserver 10.9.0.1:80 on n1\nserver 10.9.0.2:81 on n1\ntitle=second \nbackend consul \n"))
	noError(t, a.Agent().FailTTL("b1", "down"))
	eventually(t, 20*time.Second, rendered("title=second\nserver 10.9.0.2:81 on n1\ntitle=second \nbackend consul \n"))
	t.Logf("consul-template: rendered, and again after a registration, a key's change and a failed check")
}

// python-consul and its successor go through what they offer; the assertions are in the script.
func TestPythonConsul(t *testing.T) {
	t.Parallel()
	successor, err := filepath.Abs("../../bin/compat/python-consul2/usr/lib/python3/dist-packages")
	noError(t, err)
	for name, path := range map[string]string{"python-consul": "", "python-consul2": successor} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := server(t)
			cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "testdata/client.py", a.ip, fmt.Sprint(a.http))
			cmd.Env = append(os.Environ(), "PYTHONPATH="+path)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.HasPrefix(string(out), name+":") {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}
