package filewatch

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/testutil"
)

func TestWatcher_LooksAfterAFileWasReplaced(t *testing.T) {
	dir := t.TempDir()
	late := filepath.Join(dir, "late") // a folder that does not exist yet
	var seen atomic.Value
	w := Watcher{
		Paths: func() []string { return []string{filepath.Join(dir, "file"), filepath.Join(late, "file")} },
		Look: func() {
			text, _ := os.ReadFile(filepath.Join(dir, "file"))
			more, _ := os.ReadFile(filepath.Join(late, "file"))
			seen.Store(string(text) + string(more))
		},
		Settle: 20 * time.Millisecond, Poll: 200 * time.Millisecond,
	}
	done := make(chan struct{})
	go func() { defer close(done); w.Run(t.Context()) }()
	shows := func(want string) {
		t.Helper()
		testutil.Eventually(t, 5*time.Second, 5*time.Millisecond, func() error {
			if got := seen.Load(); got != want {
				return fmt.Errorf("seen %q, want %q", got, want)
			}
			return nil
		})
	}
	shows("")
	replace := func(name, text string) {
		testutil.NoError(t, os.WriteFile(name+".new", []byte(text), 0o600))
		testutil.NoError(t, os.Rename(name+".new", name))
	}
	replace(filepath.Join(dir, "file"), "one")
	shows("one")
	testutil.NoError(t, os.Mkdir(late, 0o700))
	replace(filepath.Join(late, "file"), ", two")
	shows("one, two")
}
