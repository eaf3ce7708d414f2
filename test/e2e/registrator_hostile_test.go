//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/internal/dockertest"
	"berth/internal/testutil"
	"berth/registrator/enginetest"

	"github.com/miekg/dns"
)

// hostile are containers whose authors mean harm.
func hostile() map[string]enginetest.Container {
	exposed := make([]string, 0, 65535)
	for p := 1; p <= 65535; p++ {
		exposed = append(exposed, fmt.Sprintf("%d/tcp", p))
	}
	names := strings.Repeat("a,", 1000) + strings.Repeat("b", 2000)
	everything := map[string]string{"SERVICE_NAME": names, "SERVICE_TAGS": strings.Repeat("$SERVICE_ID,", 300), "SERVICE_ADDRESS_MODE": "internal"}
	for i := range 300 {
		everything[fmt.Sprintf("SERVICE_K%d", i)] = strings.Repeat("v", 500)
	}
	for n := 2; n <= 9; n++ {
		everything[fmt.Sprintf("SERVICE_CHECK_%d_TCP", n)] = "true"
		everything[fmt.Sprintf("SERVICE_CHECK_%d_INTERVAL", n)] = "1ms"
	}
	one := func(labels map[string]string, env ...string) enginetest.Container {
		return enginetest.Container{Labels: labels, Env: env, Ports: map[string][]enginetest.Binding{"80/tcp": {{HostPort: "25999"}}}}
	}
	return map[string]enginetest.Container{
		"ports":    {Exposed: exposed, Labels: everything},
		"huge":     one(map[string]string{"SERVICE_NAME": "huge", "other": strings.Repeat("x", 8<<20), "SERVICE_X": strings.Repeat("y", 1<<20)}),
		"consul":   one(map[string]string{"SERVICE_NAME": "consul"}),
		"server":   one(map[string]string{"SERVICE_NAME": "web", "SERVICE_ID": "consul"}),
		"thief":    one(map[string]string{"SERVICE_NAME": "evil", "SERVICE_ID": "e2e:victim:80"}),
		"api":      one(map[string]string{"SERVICE_NAME": "evil", "SERVICE_ID": "api-1"}),
		"zero":     one(map[string]string{"SERVICE_NAME": "a\x00b", "SERVICE_ID": "c\x00d", "SERVICE_META_x\x00y": "z\x00"}),
		"odd":      one(map[string]string{"SERVICE_NAME": "../../Ä \u202e.consul.", "SERVICE_ID": "../x?y#z%00", "SERVICE_TAGS": "a.b,c/d,\u202e"}),
		"reserved": one(map[string]string{"SERVICE_META_berth-owner": "me", "SERVICE_META_consul-x": "me", "SERVICE_BERTH-SOURCE": "api"}),
		"metadata": one(map[string]string{"SERVICE_IP": "169.254.169.254", "SERVICE_CHECK_HTTP": "/latest/meta-data"}),
		"other":    one(map[string]string{"SERVICE_NAME": "other", "SERVICE_CHECK_TCP": "10.0.0.1:22", "SERVICE_CHECK_2_GRPC": "true"}),
		"script":   one(map[string]string{"SERVICE_NAME": "script", "SERVICE_CHECK_SCRIPT": "touch /tmp/berth-was-here"}),
		"template": one(map[string]string{"SERVICE_TAGS": "{{range 1000000000}}{{range 1000000000}}{{end}}{{end}}"}),
		"secret": one(nil, "SERVICE_NAME=secretive", "SERVICE_DB_PASSWORD=hunter2", "SERVICE_DB_URL=postgres://u:hunter2@db",
			"SERVICE_CHECK_HEADER={\"Authorization\":\"hunter2\"", "SERVICE_AWS_ACCESS_KEY=hunter2", "SERVICE_CHECK_HTTP=/"),
		"weights": one(map[string]string{"SERVICE_NAME": "weights", "SERVICE_WEIGHT": "0", "SERVICE_CHECK_TCP": "1", "SERVICE_CHECK_FAILURES_BEFORE_WARNING": "9"}),
	}
}

// With all of them running, an ordinary container is registered at once, the daemon lives, and
// nothing of others was taken.
func TestHostile_Containers(t *testing.T) {
	eng := enginetest.New()
	sock := filepath.Join(t.TempDir(), "docker.sock")
	eng.Serve(t, sock)
	a := startAgent(t, "unix://"+sock, "-dev")
	_, err := a.put("/v1/agent/service/register", `{"Name":"ours","ID":"api-1","Address":"127.0.0.9","Port":1}`)
	testutil.NoError(t, err)
	web := func(name string) {
		eng.Run(enginetest.Container{Name: name, Labels: map[string]string{"SERVICE_NAME": name},
			Ports: map[string][]enginetest.Binding{"80/tcp": {{HostPort: "25998"}}}})
	}
	web("victim")
	testutil.Eventually(t, soon, 10*time.Millisecond, a.named("victim"))
	for name, c := range hostile() {
		c.Name = name
		eng.Run(c)
	}
	began := time.Now()
	web("ordinary")
	testutil.Eventually(t, soon, time.Millisecond, a.named("ordinary"))
	t.Logf("an ordinary container among them: registered after %v", time.Since(began).Round(time.Millisecond))
	for _, name := range []string{"weights", "secretive", "other", "huge"} {
		testutil.Eventually(t, 30*time.Second, 20*time.Millisecond, func() error {
			_, err := a.get("/v1/catalog/service/" + name)
			if b, _ := a.get("/v1/catalog/services"); err == nil && !strings.Contains(string(b), `"`+name+`"`) {
				err = fmt.Errorf("%s is not in the catalog", name)
			}
			return err
		})
	}

	var servers []struct{ ServiceID, ServiceAddress string }
	a.getJSON("/v1/catalog/service/consul", &servers)
	if len(servers) != 1 || servers[0].ServiceAddress != "" {
		t.Errorf("the service consul: %+v", servers)
	}
	for name, want := range map[string]string{"victim": "127.0.0.1", "ours": "127.0.0.9"} {
		got, _, err := a.answers(name+".service.consul", dns.TypeA)
		testutil.NoError(t, err)
		testutil.Equal(t, got, []string{want})
	}
	for _, path := range []string{"/v1/catalog/node/e2e", "/v1/agent/services", "/v1/agent/checks", "/v1/agent/explain", "/v1/health/state/any"} {
		b, err := a.get(path)
		testutil.NoError(t, err)
		for _, bad := range []string{"hunter2", "169.254", "10.0.0.1:22", "berth-was-here\":", `"berth-owner":"me"`, `"consul-x"`} {
			if strings.Contains(string(b), bad) && !(path == "/v1/agent/explain" && bad != "hunter2") {
				t.Errorf("%s shows %s", path, bad)
			}
		}
	}
	if strings.Contains(a.log.String(), "panic") {
		t.Error("something panicked")
	}
}

// A flood on a real engine: one container that exposes every port, beside it a plain one.
func TestHostile_EveryPortOnRealDocker(t *testing.T) {
	e := dockertest.Shared(t)
	a := startAgent(t, e.Host(), "-dev", "-docker-internal")
	e.Docker("run", "-d", "--name", "flood", "--expose", "1-65535", "-l", "SERVICE_NAME=flood", "-l", "SERVICE_TAGS="+strings.Repeat("t,", 1000), dockertest.Image)
	e.Docker("run", "-d", "--name", "plain", "--expose", "8080", "-l", "SERVICE_NAME=plain", dockertest.Image)
	began := time.Now()
	testutil.Eventually(t, soon, 5*time.Millisecond, a.named("plain"))
	t.Logf("the plain one %v after docker run returned", time.Since(began).Round(time.Millisecond))
	out, err := a.berth("explain", "plain")
	if err != nil {
		t.Errorf("explain: %v %s", err, out)
	}
	e.Docker("rm", "-f", "flood")
	testutil.Eventually(t, 20*time.Second, 20*time.Millisecond, func() error { return catalogIsDocker(a, e) })
}
