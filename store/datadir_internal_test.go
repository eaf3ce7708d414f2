package store

import (
	"testing"
	"time"

	"berth/internal/testutil"
)

// A start follows a leave at once: the process that leaves still has the directory.
func TestOpenDataDir_WaitsForAnAgentThatEnds(t *testing.T) {
	path := t.TempDir()
	first, err := openDataDir(path)
	testutil.NoError(t, err)
	time.AfterFunc(300*time.Millisecond, first.close)
	second, err := openDataDir(path)
	testutil.NoError(t, err)
	second.close()
}
