package logs

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestLog_LevelChangesWhileItRuns(t *testing.T) {
	var b bytes.Buffer
	l := New(&b, slog.LevelInfo, false)
	log := l.Logger().With("node", "n1")
	log.Debug("first")
	l.SetLevel(slog.LevelDebug)
	log.Debug("second")
	if got := b.String(); strings.Contains(got, "first") || !strings.Contains(got, "second") || !strings.Contains(got, "node=n1") {
		t.Fatalf("log is %q", got)
	}
}

func TestLog_WatcherReadsAlongAtItsOwnLevel(t *testing.T) {
	var b bytes.Buffer
	l := New(&b, slog.LevelWarn, false)
	lines, stop := l.Watch(slog.LevelDebug, true)
	l.Logger().With("a", 1).WithGroup("g").Debug("hello", "b", 2)
	if got := string(<-lines); !strings.Contains(got, `"msg":"hello"`) || !strings.Contains(got, `"g":{"b":2}`) || !strings.HasSuffix(got, "\n") {
		t.Fatalf("watcher read %q", got)
	}
	if b.Len() != 0 {
		t.Fatalf("the log itself has %q, below its level", b.String())
	}
	stop()
	stop()
	if _, open := <-lines; open {
		t.Fatal("lines is open after stop")
	}
	l.Logger().Error("after")
}

func TestLog_WatcherReadsConsulsLines(t *testing.T) {
	var b bytes.Buffer
	l := New(&b, slog.LevelWarn, false)
	lines, stop := l.Watch(LevelTrace, false)
	defer stop()
	log := l.Logger().With("part", "dns", "node", "n 1")
	log.Info("serving", "addr", "127.0.0.1:53", "g", slog.GroupValue(slog.Int("a", 1)))
	l.Logger().WithGroup("g").Error("two\nlines", "part", "x")
	log.Log(t.Context(), LevelTrace, "packet")
	for _, want := range []string{
		` [INFO]  agent.dns: serving: node="n 1" addr=127.0.0.1:53 g.a=1`,
		` [ERROR] agent: two\nlines: g.part=x`,
		` [TRACE] agent.dns: packet: node="n 1"`,
	} {
		got := string(<-lines)
		if when, rest, _ := strings.Cut(got, " "); " "+rest != want+"\n" || len(when) != len("2006-01-02T15:04:05.000Z") {
			t.Errorf("watcher read %q, want a time and %q", got, want)
		}
	}
}

func TestLog_SlowWatcherLosesLinesAndBlocksNobody(t *testing.T) {
	l := New(&bytes.Buffer{}, slog.LevelInfo, false)
	_, stop := l.Watch(slog.LevelInfo, false)
	defer stop()
	for range 10 * watchBuffer {
		l.Logger().Info("flood")
	}
}
