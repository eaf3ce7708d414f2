//go:build e2e

package docs

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"berth/internal/dockertest"
	"berth/internal/testutil"
)

// stack is a page and the demonstration of the same thing, on this machine's engine. They have
// ports and networks of their own, so that stacks may run at the same time.
type stack struct {
	name   string
	page   string   // read first; "" is none
	script []string // of scripts/
	says   []string // patterns of what it must say
}

var stacks = []stack{
	{"two-datacenters", "", []string{"demo-dc.sh"}, []string{
		`cold start, from docker compose up: \d+ ms`, `web\.service\.dc2\.consul\.\s+\d+\s+A`, `a write is accepted again: after \d+ ms`,
		`votes again`, `Done`,
	}},
	{"haproxy", "docs/recipes/haproxy.md", []string{"demo-proxy.sh", "haproxy"}, []string{
		`10 instances answer`, `only 2 instances answer`, `requests sent \d{4,}, failed 0,`, `Done`,
	}},
	{"nginx", "docs/recipes/nginx.md", []string{"demo-proxy.sh", "nginx"}, []string{
		`10 instances answer`, `only 2 instances answer`, `requests sent \d{4,}, failed 0,`, `Done`,
	}},
	{"mysql-failover", "docs/recipes/mysql.md", []string{"demo-mysql.sh"}, []string{
		`seconds from kill to the name pointing at the replica: \d`, `one address or none, never the old one after the switch`, `Done`,
	}},
	{"one-host", "", []string{"demo.sh"}, []string{
		`web\.service\.consul\.\s+0\s+SRV`, `the name is gone, as it should be`, `Done`,
	}},
	{"image", "", []string{"image-multistage.sh"}, []string{
		`\d+ bytes, less than 40 MB`, `it is not root`, `port 53 answers`, `its data outlives a restart`,
	}},
}

// The demonstrations run as `make demo` and its like run them, and the recipes as a reader would.
func TestStacks_RunAndSayWhatTheyShould(t *testing.T) {
	dockertest.Require(t)
	requireBinary(t)
	// Images first: stacks that run at the same time find them made.
	for _, args := range [][]string{
		{"image.sh", "berth"}, {"webapp.sh", "berth-webapp"}, {"standin.sh", "haproxy", "nginx"},
		{"goimage.sh", "berth-mysqlstub", "./test/mysqlstub"},
		{"goimage.sh", "berth-failover", "./compose/mysql-failover/failover", "./test/mysqlstub"},
	} {
		out, err := script(t, args...)
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	for _, s := range stacks {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if s.page != "" {
				began := time.Now()
				readRecipe(t, s)
				t.Logf("%s in %v", s.page, time.Since(began).Round(time.Second))
			}
			began := time.Now()
			out, err := script(t, s.script...)
			t.Logf("%v in %v:\n%s", s.script, time.Since(began).Round(time.Second), out)
			testutil.NoError(t, err)
			for _, want := range s.says {
				if !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("it does not say %q", want)
				}
			}
		})
	}
}

// script runs one of scripts/ to its end.
func script(t *testing.T, args ...string) (string, error) {
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, filepath.Join("scripts", args[0]), args[1:]...)
	cmd.Dir, cmd.Env = root, environment(t)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// readRecipe reads a recipe's page, and takes away what it made.
func readRecipe(t *testing.T, s stack) {
	t.Helper()
	project := "COMPOSE_PROJECT_NAME=berth-docs-" + s.name
	sh := newShell(t, func(command string) *exec.Cmd {
		cmd := exec.Command("bash", "-c", command)
		cmd.Dir, cmd.Env = root, environment(t, project)
		return cmd
	})
	compose := []string{"docker", "compose"}
	if exec.Command("docker", "compose", "version").Run() != nil {
		compose = []string{"docker-compose"}
		sh.edit = strings.NewReplacer("docker compose", "docker-compose")
	}
	defer func() {
		down := exec.Command(compose[0], append(compose[1:], "-f", "compose/"+s.name+"/docker-compose.yml", "down", "-v", "-t", "1")...)
		down.Dir, down.Env = root, environment(t, project, "DOCKER_GID=0")
		if out, err := down.CombinedOutput(); err != nil {
			t.Errorf("clean up: %v\n%s", err, out)
		}
	}()
	read(t, s.page, blocks(t, s.page), sh)
}
