package hostdns

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"berth/internal/filewatch"
)

// watchSettle is how long it has to be quiet: who replaces a file does so in several steps.
const watchSettle = 500 * time.Millisecond

// Limit of writing a file again: reassertMost times within reassertSpan.
const (
	reassertMost = 3
	reassertSpan = time.Hour
)

// RecordFile is where install leaves its record, for Watch.
const RecordFile = stateFile

// Hijack says that somebody changed a file that install had written.
type Hijack struct {
	Path string // the file
	By   string // who may have done it, as far as the file tells
	// Reassert writes the file again as install wrote it. It may be called within onHijack. Its
	// error is ErrReassertLimit after three times within an hour: two programs that overwrite
	// each other's file help nobody.
	Reassert func() error
}

// Watch calls onHijack when somebody changes or replaces a file that install wrote, once for
// each change, until ctx ends. path is the record (RecordFile); no record means that there is
// nothing to watch until one appears. onHijack runs on the goroutine of Watch.
func Watch(ctx context.Context, path string, onHijack func(Hijack)) {
	w := &watcher{h: &Host{Root: rootOf(path)}, path: path, report: onHijack, seen: map[string]string{}, now: time.Now}
	w.run(ctx)
}

// rootOf is the root below which path is the record; other places have the machine's.
func rootOf(path string) string {
	if root, ok := strings.CutSuffix(path, stateFile); ok {
		return root
	}
	return ""
}

type watcher struct {
	h      *Host
	path   string
	report func(Hijack)
	seen   map[string]string // path -> what was reported last, "" is as installed
	now    func() time.Time

	mu    sync.Mutex // guards times
	times []time.Time
}

func (w *watcher) run(ctx context.Context) {
	filewatch.Watcher{Paths: w.files, Look: w.check, Settle: watchSettle, Poll: 10 * time.Second}.Run(ctx)
}

// files is the record and what it names.
func (w *watcher) files() []string {
	files := []string{w.path}
	for _, c := range w.record().Changes {
		if c.Path != "" {
			files = append(files, w.h.path(c.Path))
		}
	}
	return files
}

// record is what install left; an empty one while there is none, or it is being made.
func (w *watcher) record() *Record {
	r, err := readRecord(w.path)
	if err != nil || r.Phase == phaseApplying {
		return new(Record)
	}
	return r
}

// check compares the files with the record once.
func (w *watcher) check() {
	r := w.record()
	if len(r.Changes) == 0 {
		clear(w.seen)
	}
	for _, c := range r.Changes {
		if c.Path == "" {
			continue
		}
		now, err := readEntry(w.h.path(c.Path))
		if err != nil {
			continue // it is looked at again
		}
		picture := ""
		if now.Kind != plain || hash(now.Data) != c.SHA256 {
			picture = now.Kind + now.Target + hash(now.Data)
		}
		if w.seen[c.Path] == picture {
			continue
		}
		w.seen[c.Path] = picture
		if picture != "" {
			w.report(Hijack{Path: c.Path, By: w.culprit(c.Path, now), Reassert: func() error { return w.reassert(c) }})
		}
	}
}

// culprit guesses who wrote the file.
func (w *watcher) culprit(path string, now Entry) string {
	switch {
	case now.Kind == absent:
		return "it is gone"
	case now.Kind == symlink:
		return "it is a link to " + now.Target
	}
	if c := parseStub(now.Data).comment; c != "" && path == resolvConf {
		return "its first comment says: " + c
	}
	return "unknown"
}

// reassert writes the file again, within the limit.
func (w *watcher) reassert(c Change) error {
	w.mu.Lock()
	now := w.now()
	w.times = slices.DeleteFunc(w.times, func(t time.Time) bool { return now.Sub(t) >= reassertSpan })
	if len(w.times) >= reassertMost {
		w.mu.Unlock()
		return ErrReassertLimit
	}
	w.times = append(w.times, now)
	w.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(w.h.path(c.Path)), 0o755); err != nil {
		return err
	}
	return c.After.put(w.h.path(c.Path))
}
