//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/dockertest"
	"berth/internal/testutil"
)

// startRegistrator runs `berth registrator FLAGS consul://...`, as registrator's users have it in
// their scripts. Ports come from the environment, which registrator had none for.
func startRegistrator(t *testing.T, e *dockertest.Engine, flags ...string) *agent {
	t.Helper()
	a := &agent{t: t, http: testutil.FreePort(t), dns: testutil.FreePort(t), log: &syncBuffer{}}
	a.env = append(os.Environ(), "DOCKER_HOST="+e.Host(), "BERTH_NODE_NAME=docker1", "BERTH_BIND_ADDR=127.0.0.1",
		fmt.Sprint("BERTH_PORTS_HTTP=", a.http), fmt.Sprint("BERTH_PORTS_DNS=", a.dns),
		fmt.Sprint("BERTH_PORTS_SERVER=", testutil.FreePort(t)), fmt.Sprint("BERTH_PORTS_SERF_LAN=", testutil.FreePort(t)),
		fmt.Sprint("BERTH_PORTS_SERF_WAN=", testutil.FreePort(t)))
	a.args = append([]string{"registrator", "-dev"}, flags...)
	t.Cleanup(func() {
		a.stop()
		if t.Failed() {
			t.Logf("the agent's log:\n%s", tail(a.log.String(), 6000))
		}
	})
	a.start()
	a.waitLeader()
	return a
}

// listed are this host's instances as "id name:port tags [meta]", sorted.
func (a *agent) listed() []string {
	a.t.Helper()
	var services map[string]struct {
		ID, Service string
		Port        int
		Tags        []string
		Meta        map[string]string
	}
	a.getJSON("/v1/agent/services", &services)
	out := []string{}
	for id, s := range services {
		if id == "consul" {
			continue
		}
		line := fmt.Sprintf("%s %s:%d", s.ID, s.Service, s.Port)
		if len(s.Tags) > 0 {
			slices.Sort(s.Tags)
			line += " " + strings.Join(s.Tags, ",")
		}
		var meta []string
		for k, v := range s.Meta {
			if !strings.HasPrefix(k, "berth-") {
				meta = append(meta, k+"="+v)
			}
		}
		slices.Sort(meta)
		out = append(out, strings.TrimSpace(line+" "+strings.Join(meta, " ")))
	}
	slices.Sort(out)
	return out
}

func (a *agent) lists(want ...string) {
	a.t.Helper()
	slices.Sort(want)
	testutil.Eventually(a.t, 15*time.Second, 20*time.Millisecond, func() error {
		if got := a.listed(); !slices.Equal(got, want) {
			return fmt.Errorf("registered\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
		return nil
	})
}

// The examples of registrator's documentation, with its results: only the host ports differ, which
// have to be free here.
func TestRegistrator_DocumentedExamples(t *testing.T) {
	e := dockertest.Shared(t)
	for _, image := range []string{"dockerfile/redis", "progrium/nginx", "progrium/consul"} {
		e.Docker("tag", dockertest.Image, image)
	}
	a := startRegistrator(t, e, "consul://localhost:8500")
	for _, x := range []struct {
		name string
		run  []string
		want []string
	}{
		{"single service with defaults", []string{"--name", "redis.0", "-p", "25910:6379", "dockerfile/redis"},
			[]string{"docker1:redis.0:6379 redis:25910"}},
		{"single service with metadata", []string{"--name", "redis.0", "-p", "25910:6379", "-e", "SERVICE_NAME=db",
			"-e", "SERVICE_TAGS=master,backups", "-e", "SERVICE_REGION=us2", "dockerfile/redis"},
			[]string{"docker1:redis.0:6379 db:25910 backups,master region=us2"}},
		{"multiple services with defaults", []string{"--name", "nginx.0", "-p", "25911:443", "-p", "25912:80", "progrium/nginx"},
			[]string{"docker1:nginx.0:443 nginx-443:25911", "docker1:nginx.0:80 nginx-80:25912"}},
		{"multiple services with metadata", []string{"--name", "nginx.0", "-p", "25911:443", "-p", "25912:80",
			"-e", "SERVICE_443_NAME=https", "-e", "SERVICE_443_ID=https.12345", "-e", "SERVICE_443_SNI=enabled",
			"-e", "SERVICE_80_NAME=http", "-e", "SERVICE_TAGS=www", "progrium/nginx"},
			[]string{"https.12345 https:25911 www sni=enabled", "docker1:nginx.0:80 http:25912 www"}},
		{"TCP and UDP", []string{"--name", "consul", "-p", "25913:8300", "-p", "25914:8301", "-p", "25914:8301/udp", "progrium/consul"},
			[]string{"docker1:consul:8300 consul-8300:25913", "docker1:consul:8301 consul-8301:25914", "docker1:consul:8301:udp consul-8301:25914 udp"}},
		{"ignored", []string{"--name", "ignored", "-p", "25910:6379", "-e", "SERVICE_IGNORE=true", "dockerfile/redis"}, nil},
	} {
		id := e.Docker(append([]string{"run", "-d"}, x.run...)...)
		t.Log(x.name)
		a.lists(x.want...)
		e.Docker("rm", "-f", id)
		a.lists()
	}
}

// Options before and after the address, with one dash and two.
func TestRegistrator_Options(t *testing.T) {
	e := dockertest.Shared(t)
	a := startRegistrator(t, e, "-ip", "203.0.113.7", "--explicit", "consul://localhost:8500", "-tags=blue,{{.Config.Image}}",
		"-resync", "60", "-ttl", "30", "-ttl-refresh", "10", "-cleanup", "-deregister", "on-success", "-retry-attempts", "10", "-retry-interval", "500")
	e.Docker("run", "-d", "--name", "silent", "-p", "8080", dockertest.Image)
	named := e.Docker("run", "-d", "--name", "named", "-p", "25915:8080", "-l", "SERVICE_8080_NAME=web", dockertest.Image)
	a.lists("docker1:named:8080 web:25915 " + dockertest.Image + ",blue")
	got, _, err := a.answers("web.service.consul", 1)
	testutil.NoError(t, err)
	testutil.Equal(t, got, []string{"203.0.113.7"})
	// on-success: what crashed stays, as critical.
	crash(t, named)
	testutil.Eventually(t, soon, 20*time.Millisecond, a.unnamed("web"))
	e.Docker("rm", "-f", named)
	a.lists()
}

// Internal mode, and the address from a label.
func TestRegistrator_InternalAndLabel(t *testing.T) {
	e := dockertest.Shared(t)
	a := startRegistrator(t, e, "-internal", "-useIpFromLabel", "my.ip", "consul://localhost:8500")
	id := e.Docker("run", "-d", "--name", "in", "--expose", "8080", "-l", "SERVICE_NAME=in", dockertest.Image)
	e.Docker("run", "-d", "--name", "lab", "--expose", "8080", "-l", "SERVICE_NAME=lab", "-l", "my.ip=198.51.100.9/24", dockertest.Image)
	a.lists("docker1:in:8080 in:8080", "docker1:lab:8080 lab:8080")
	for name, want := range map[string]string{"in": e.Docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", id), "lab": "198.51.100.9"} {
		got, _, err := a.answers(name+".service.consul", 1)
		testutil.NoError(t, err)
		testutil.Equal(t, got, []string{want})
	}
}
