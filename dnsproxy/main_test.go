package dnsproxy

import (
	"os"
	"testing"

	"berth/internal/testutil"
)

func TestMain(m *testing.M) { os.Exit(testutil.Main(m, "berth/dnsproxy")) }
