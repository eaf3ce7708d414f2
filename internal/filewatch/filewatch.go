// Package filewatch tells when files may have changed.
package filewatch

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Watcher looks at files whenever something happened to them, and from time to time.
type Watcher struct {
	// Paths names the files, or folders of files, to watch; it is asked anew before each wait.
	Paths func() []string
	// Look is called at the start, after changes, and every Poll. It has to find out by itself
	// whether anything differs.
	Look func()
	// Settle is how long it has to be quiet after a change: files are written in several steps.
	Settle time.Duration
	// Poll is how often Look is called anyway: bind mounts and network file systems tell nothing.
	Poll time.Duration
}

// Run watches until ctx ends; Paths and Look are called on its goroutine. It watches folders, not
// files, since those are replaced by rename. Without inotify the poll remains.
func (w Watcher) Run(ctx context.Context) {
	events := make(<-chan fsnotify.Event)
	fs, err := fsnotify.NewWatcher()
	if err == nil {
		defer fs.Close()
		events = fs.Events
	}
	watched := map[string]bool{}
	poll := time.NewTicker(w.Poll)
	defer poll.Stop()
	settle := time.NewTimer(0)
	defer settle.Stop()
	for {
		if fs != nil && w.addFolders(fs, watched) {
			settle.Reset(w.Settle) // what happened before it was watched
		}
		select {
		case <-ctx.Done():
			return
		case _, ok := <-events:
			if !ok {
				events = nil
			}
			settle.Reset(w.Settle)
			continue
		case <-poll.C:
		case <-settle.C:
		}
		w.Look()
	}
}

// addFolders watches the folders that are not watched yet, and says whether there were any.
func (w Watcher) addFolders(fs *fsnotify.Watcher, watched map[string]bool) (added bool) {
	for _, p := range w.Paths() {
		dir := filepath.Dir(p)
		if st, err := os.Stat(p); err == nil && st.IsDir() {
			dir = p
		}
		if !watched[dir] && fs.Add(dir) == nil {
			watched[dir], added = true, true
		}
	}
	return added
}
