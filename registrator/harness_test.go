package registrator_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"berth"
	"berth/internal/testutil"
	"berth/registrator"
	"berth/registrator/enginetest"
)

// harness is a registrator with a fake engine inside a synctest bubble.
type harness struct {
	t   testing.TB
	eng *enginetest.Engine
	reg *registrator.Registrator
	rec *recorder
	log *logCount
	end func()
}

// bubble runs f with a registrator that watches a fake engine, in fake time. prepare may
// change the engine before anything connects, change the configuration.
func bubble(t *testing.T, prepare func(*enginetest.Engine), change func(*registrator.Config), f func(*testing.T, *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		eng := enginetest.New()
		stop := eng.Pipe()
		defer stop()
		if prepare != nil {
			prepare(eng)
		}
		h := startHarness(t, eng, change)
		defer h.end()
		f(t, h)
	})
}

func startHarness(t testing.TB, eng *enginetest.Engine, change func(*registrator.Config)) *harness {
	h := &harness{t: t, eng: eng, rec: newRecorder(), log: &logCount{}}
	cfg := registrator.Config{
		Logger: slog.New(h.log), Sink: h.rec, Node: realNode,
		NodeAddress: func() netip.Addr { return netip.MustParseAddr("192.0.2.10") },
		Engine:      "unix:///fake", Dial: eng.Dial, Getenv: func(string) string { return "" },
		Probe: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network in here") },
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	h.reg, err = registrator.New(cfg)
	testutil.NoError(t, err)
	h.run()
	return h
}

func (h *harness) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.reg.Run(ctx) }()
	h.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("Run: %v", err)
		}
	})
	h.pass(time.Millisecond)
}

// pass lets fake time go by and everything settle.
func (h *harness) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// web runs a container with port 80 published.
func (h *harness) web(name, hostPort string, change ...func(*enginetest.Container)) string {
	return h.eng.Run(webContainer(name, hostPort, change...))
}

func webContainer(name, hostPort string, change ...func(*enginetest.Container)) enginetest.Container {
	c := enginetest.Container{Name: name, Labels: map[string]string{"SERVICE_NAME": name},
		Ports: map[string][]enginetest.Binding{"80/tcp": {{HostIP: "0.0.0.0", HostPort: hostPort}}}}
	for _, f := range change {
		f(&c)
	}
	return c
}

func sid(name string) string { return realNode + ":" + name + ":80" }

// want fails unless exactly these instances are registered, each as "id" or "id status/output".
func (h *harness) want(when string, want ...string) {
	h.t.Helper()
	got := h.rec.describe()
	sort.Strings(want)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		h.t.Fatalf("%s:\n got  %q\n want %q", when, got, want)
	}
}

func (r *recorder) describe() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []string{}
	for id, d := range r.last {
		s := id
		if st := status(d); st != "" {
			s += " " + st
		}
		out = append(out, s)
	}
	sort.Strings(out)
	return out
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sets
}

// explain is the report of one container.
func (h *harness) explain(name string) berth.ContainerReport {
	h.t.Helper()
	reps := h.reg.Explain(name)
	if len(reps) != 1 {
		h.t.Fatalf("explain %q: %d reports", name, len(reps))
	}
	return reps[0]
}

// logCount counts lines at warning or above, and keeps their texts.
type logCount struct {
	warnings atomic.Int64
	lines    atomic.Pointer[[]string]
	messages sync.Map // of all levels, to *atomic.Int64
}

// times is how often a message was logged, at any level.
func (l *logCount) times(message string) int64 {
	n, _ := l.messages.LoadOrStore(message, new(atomic.Int64))
	return n.(*atomic.Int64).Load()
}

func (l *logCount) Enabled(context.Context, slog.Level) bool { return true }
func (l *logCount) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logCount) WithGroup(string) slog.Handler            { return l }

func (l *logCount) Handle(_ context.Context, r slog.Record) error {
	n, _ := l.messages.LoadOrStore(r.Message, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	if r.Level < slog.LevelWarn {
		return nil
	}
	l.warnings.Add(1)
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.Key + "=" + a.Value.String(); return true })
	for {
		old := l.lines.Load()
		next := []string{text}
		if old != nil {
			next = append(append([]string(nil), *old...), text)
		}
		if l.lines.CompareAndSwap(old, &next) {
			return nil
		}
	}
}

func (l *logCount) has(parts ...string) bool {
	lines := l.lines.Load()
	if lines == nil {
		return false
	}
	for _, line := range *lines {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return true
		}
	}
	return false
}

// failingSink refuses n sets, then passes them on.
type failingSink struct {
	left atomic.Int64
	next registrator.Sink
}

func (s *failingSink) Replace(source string, set []berth.ServiceDefinition) error {
	if s.left.Add(-1) >= 0 {
		return errors.New("refused")
	}
	return s.next.Replace(source, set)
}

func no() *bool { b := false; return &b }

func nodeAddr() netip.Addr { return netip.MustParseAddr("192.0.2.10") }
