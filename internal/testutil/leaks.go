package testutil

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// leakPatience is how long goroutines may take to end after the last test.
const leakPatience = 5 * time.Second

// Main runs a package's tests for its TestMain, and returns the status to exit with. The run fails
// when goroutines with a frame that contains code, such as "berth/agent", outlive the tests.
func Main(m *testing.M, code string) int {
	status := m.Run()
	if left := Leaked(leakPatience, func(stack string) bool { return strings.Contains(stack, code) }); status == 0 && left != "" {
		fmt.Fprintln(os.Stderr, "goroutines left after the tests:\n"+left)
		status = 1
	}
	return status
}

// Leaked waits until no goroutine but that of TestMain is ours, by its stack, and gives the stacks of those
// that still are when limit is over.
func Leaked(limit time.Duration, ours func(stack string) bool) string {
	buf := make([]byte, 16<<20)
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		var left []string
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if ours(g) && !strings.Contains(g, "TestMain") {
				left = append(left, g)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return strings.Join(left, "\n\n")
		}
	}
}
