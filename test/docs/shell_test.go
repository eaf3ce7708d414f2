//go:build e2e

package docs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"berth/internal/dockertest"
	"berth/internal/testutil"
)

// shell is one bash, as a reader's terminal: variables, jobs and the folder stay.
type shell struct {
	t     *testing.T
	start func(command string) *exec.Cmd // another terminal on the same host
	edit  *strings.Replacer
	dir   string
	in    io.WriteCloser
	lines chan string // of its standard output, closed at its end
	n     int
}

// patience is how long one block may take.
const patience = 5 * time.Minute

// mark ends the output of a block; the number is what failed.
const mark = "\x01end of block "

// newShell starts bash in the repository's root.
func newShell(t *testing.T, start func(command string) *exec.Cmd) *shell {
	t.Helper()
	s := &shell{t: t, start: start, edit: strings.NewReplacer(), dir: t.TempDir(), lines: make(chan string, 1024)}
	cmd := start("exec bash --norc --noprofile")
	in, err := cmd.StdinPipe()
	testutil.NoError(t, err)
	out, err := cmd.StdoutPipe()
	testutil.NoError(t, err)
	testutil.NoError(t, cmd.Start())
	go func() {
		defer close(s.lines)
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadString('\n')
			if line != "" {
				s.lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	s.in = in
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return s
}

// run runs a block and gives what it wrote to its standard output. It fails when one of its
// commands does.
func (s *shell) run(text string) (string, error) {
	s.n++
	file := filepath.Join(s.dir, fmt.Sprint("block", s.n))
	testutil.NoError(s.t, os.WriteFile(file, []byte(s.edit.Replace(text)), 0o600))
	fmt.Fprintf(s.in, "failed=; trap 'failed=$?' ERR; . %[1]q 2>%[1]q.err </dev/null; trap - ERR; echo; echo \"%[2]s$failed\"\n", file, mark)
	var out strings.Builder
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-s.lines:
			status, ended := strings.CutPrefix(line, mark)
			if !ok || ended && strings.TrimSpace(status) != "" {
				stderr, _ := os.ReadFile(file + ".err")
				return out.String(), fmt.Errorf("status %q: %s", strings.TrimSpace(status), stderr)
			}
			if ended {
				return out.String(), nil
			}
			out.WriteString(line)
		case <-deadline:
			s.t.Fatalf("it did not end within %v:\n%s\nand said so far\n%s", patience, text, out.String())
		}
	}
}

// look runs a block again and again until its output is as the page says.
func (s *shell) look(at, text, want string) {
	s.t.Helper()
	match := pattern(want)
	testutil.Eventually(s.t, 30*time.Second, 100*time.Millisecond, func() error {
		out, err := s.run(text)
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", at, err, out)
		}
		if !match.MatchString(squeezed(out)) {
			err = fmt.Errorf("%s gives\n%s\nwant\n%s", at, out, want)
		}
		return err
	})
}

// background runs a block as in a second terminal, until the test ends.
func (s *shell) background(text string) {
	t := s.t
	t.Helper()
	cmd := s.start("exec " + s.edit.Replace(text))
	log, err := os.Create(filepath.Join(s.dir, "agent.log"))
	testutil.NoError(t, err)
	cmd.Stdout, cmd.Stderr = log, log
	testutil.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		log.Close()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("the agent's log:\n%s", text[max(0, len(text)-4000):])
		}
	})
}

var hosts atomic.Int32

// newHost is a shell on a host of its own: a network namespace, where every port is free. A page
// that uses docker has an engine of its own as well.
func newHost(t *testing.T, list []block) *shell {
	t.Helper()
	name := fmt.Sprintf("berthdocs%d.%d", os.Getpid(), hosts.Add(1))
	for _, args := range [][]string{{"netns", "add", name}, {"-n", name, "link", "set", "lo", "up"}} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v\n%s", args, err, out)
		}
	}
	t.Cleanup(func() {
		endAll(t, name)
		_ = exec.Command("ip", "netns", "del", name).Run()
	})
	docker, tmp := "unix:///nowhere/docker.sock", t.TempDir()
	if slices.ContainsFunc(list, func(b block) bool {
		return strings.HasPrefix(b.kind, "sh ") && strings.Contains("\n"+b.text, "\ndocker ")
	}) {
		docker = dockertest.Start(t).Host()
	}
	return newShell(t, func(command string) *exec.Cmd {
		cmd := exec.Command("ip", "netns", "exec", name, "bash", "-c", command)
		cmd.Dir, cmd.Env = root, environment(t, "DOCKER_HOST="+docker, "TMPDIR="+tmp)
		return cmd
	})
}

// environment is this process's, with the repository's programs.
func environment(t *testing.T, more ...string) []string {
	t.Helper()
	bin, err := filepath.Abs(filepath.Join(root, "bin"))
	testutil.NoError(t, err)
	return append(append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH")), more...)
}

// endAll ends what a page left running on its host.
func endAll(t *testing.T, name string) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		deadline := time.Now().Add(5 * time.Second)
		for first := true; first || time.Now().Before(deadline); first = false {
			out, err := exec.Command("ip", "netns", "pids", name).Output()
			if err != nil || len(strings.Fields(string(out))) == 0 {
				return
			}
			for _, f := range strings.Fields(string(out)) {
				if pid, err := strconv.Atoi(f); err == nil && first {
					_ = syscall.Kill(pid, sig)
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	t.Errorf("something still runs on the page's host %s", name)
}
