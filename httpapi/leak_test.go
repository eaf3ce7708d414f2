package httpapi_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"berth/internal/testutil"
)

// TestMain fails the package when goroutines of this module outlive its tests, and, when all of
// them ran, when a route of the table was never answered in them.
func TestMain(m *testing.M) {
	status := testutil.Main(m, "berth/")
	if none := untested(); status == 0 && allRan() && len(none) > 0 {
		fmt.Fprintln(os.Stderr, "routes that no test has an answer from:\n"+strings.Join(none, "\n"))
		status = 1
	}
	os.Exit(status)
}

// allRan says whether no flag picked tests.
func allRan() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if flag.Lookup(name).Value.String() != "" {
			return false
		}
	}
	return true
}

// memory is what the heap and the stacks take after a collection.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
