package dnsproxy

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"berth/internal/filewatch"
)

// watchFiles reads hosts files and resolv.conf again when they change, until ctx ends. last is
// their fingerprint as they were read.
func (s *Server) watchFiles(ctx context.Context, last string) error {
	filewatch.Watcher{
		Paths: s.files,
		Look: func() {
			if now := fingerprint(s.files()); now != last {
				last = now
				s.filesChanged()
			}
		},
		Settle: 200 * time.Millisecond, Poll: 5 * time.Second,
	}.Run(ctx)
	return nil
}

// fingerprint changes when any of the files, or a file of a directory among them, does.
func fingerprint(paths []string) string {
	var sb strings.Builder
	for _, p := range hostsFiles(paths) {
		st, err := os.Stat(p)
		if err != nil {
			fmt.Fprintf(&sb, "%s gone\n", p)
			continue
		}
		fmt.Fprintf(&sb, "%s %d %d\n", p, st.Size(), st.ModTime().UnixNano())
	}
	return sb.String()
}
