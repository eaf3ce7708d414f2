package registrator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"
	"berth/registrator"
)

const (
	realImage = "berth-regtest"
	realLabel = "berth.test=reg"
	realNode  = "n1"
)

// recorder is a Sink that remembers the last set and when each arrived.
type recorder struct {
	mu   sync.Mutex // guards the rest
	sets int
	last map[string]berth.ServiceDefinition
	at   time.Time
	wake chan struct{}
}

func newRecorder() *recorder { return &recorder{wake: make(chan struct{}, 1)} }

func (r *recorder) Replace(_ string, set []berth.ServiceDefinition) error {
	r.mu.Lock()
	r.sets++
	r.at = time.Now()
	r.last = map[string]berth.ServiceDefinition{}
	for _, d := range set {
		r.last[d.ID] = d
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return nil
}

func (r *recorder) get(id string) (berth.ServiceDefinition, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.last[id]
	return d, ok
}

// await returns when cond holds for the last set, with the time when that set arrived.
func (r *recorder) await(t testing.TB, limit time.Duration, what string, cond func(map[string]berth.ServiceDefinition) bool) time.Time {
	t.Helper()
	deadline := time.After(limit)
	for {
		r.mu.Lock()
		ok, at := r.last != nil && cond(r.last), r.at
		r.mu.Unlock()
		if ok {
			return at
		}
		select {
		case <-r.wake:
		case <-deadline:
			r.mu.Lock()
			defer r.mu.Unlock()
			b, _ := json.MarshalIndent(r.last, "", " ")
			t.Fatalf("not within %v: %s; last set:\n%s", limit, what, b)
		}
	}
}

// status is the worst status of the definition's passive checks.
func status(d berth.ServiceDefinition) string {
	for _, c := range d.Checks {
		if c.Passive && c.Type == berth.CheckDocker {
			return c.Status + "/" + c.Output
		}
	}
	return ""
}

func docker(t testing.TB, args ...string) string {
	t.Helper()
	out, err := dockerTry(args...)
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func dockerTry(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		return stderr.String(), err
	}
	return strings.TrimSpace(stdout.String()), nil
}

// needDocker skips the test without an engine, or fails it where one is required.
func needDocker(t testing.TB) {
	t.Helper()
	if out, err := dockerTry("version", "--format", "{{.Server.Version}}"); err != nil {
		if os.Getenv("BERTH_REQUIRE_DOCKER") == "1" {
			t.Fatalf("docker does not answer: %v %s", err, out)
		}
		t.Skip("docker does not answer")
	}
	buildImage(t)
}

var imageOnce sync.Once

// buildImage makes a tiny image around a static program, since none can be pulled.
func buildImage(t testing.TB) {
	t.Helper()
	imageOnce.Do(func() {
		dir := t.TempDir()
		bin := filepath.Join(dir, "app")
		cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", bin, "./testdata/app")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building the test program: %v\n%s", err, out)
		}
		testutil.NoError(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY app /app\nEXPOSE 80\nENTRYPOINT [\"/app\"]\n"), 0o644))
		docker(t, "build", "-q", "-t", realImage, dir)
	})
}

// runContainer starts a container of the test image, removed at the test's end, and returns
// its ID. args stand before the image, unless they hold "--".
func runContainer(t testing.TB, name string, args ...string) string {
	t.Helper()
	full := []string{"run", "-d", "--name", name, "--label", realLabel}
	var after []string
	for i, a := range args {
		if a == "--" {
			after = args[i+1:]
			args = args[:i]
			break
		}
	}
	full = append(append(append(full, args...), realImage), after...)
	t.Cleanup(func() { dockerTry("rm", "-f", name) }) //nolint:errcheck // may be gone
	return docker(t, full...)
}

// awaitReady waits until a container's process hears signals: one that is sent before ends it.
func awaitReady(t testing.TB, id string) {
	t.Helper()
	testutil.Eventually(t, realLimit, 50*time.Millisecond, func() error {
		out, err := dockerTry("logs", id)
		if err == nil && !strings.Contains(out, "ready") {
			err = fmt.Errorf("it has said %q", out)
		}
		return err
	})
}

func startReal(t testing.TB, change func(*registrator.Config)) (*registrator.Registrator, *recorder) {
	t.Helper()
	needDocker(t)
	rec := newRecorder()
	cfg := registrator.Config{
		Logger: testutil.Logger(t), Sink: rec, Node: realNode,
		NodeAddress: func() netip.Addr { return netip.MustParseAddr("192.0.2.10") },
		Constraint:  "label(berth.test)=reg",
	}
	if change != nil {
		change(&cfg)
	}
	r, err := registrator.New(cfg)
	testutil.NoError(t, err)
	testutil.Start(t, r.Run)
	testutil.Eventually(t, 10*time.Second, 5*time.Millisecond, r.Ready)
	return r, rec
}

func uniq(t testing.TB, s string) string {
	return fmt.Sprintf("regtest-%s-%d", s, time.Now().UnixNano()%1e6)
}

func startedAt(t testing.TB, id string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, docker(t, "inspect", "-f", "{{.State.StartedAt}}", id))
	testutil.NoError(t, err)
	return at
}

func TestRealStartStop(t *testing.T) {
	_, rec := startReal(t, nil)
	name := uniq(t, "web")
	id := runContainer(t, name, "-p", "80", "-l", "SERVICE_80_NAME=web", "-l", "SERVICE_80_TAGS=a,b")
	sid := realNode + ":" + name + ":80"
	rec.await(t, 5*time.Second, "registered", func(m map[string]berth.ServiceDefinition) bool { return m[sid].Name == "web" })
	d, _ := rec.get(sid)
	testutil.Equal(t, d.Address, "192.0.2.10")
	testutil.Equal(t, d.Tags, []string{"a", "b"})
	testutil.Equal(t, d.Meta[berth.MetaContainer], id[:12])
	docker(t, "rm", "-f", name)
	rec.await(t, 5*time.Second, "removed", func(m map[string]berth.ServiceDefinition) bool { _, ok := m[sid]; return !ok })
}
