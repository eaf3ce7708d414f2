//go:build e2e

package docs

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	fmt.Printf("%d commands of the pages for users ran\n", ran.Load())
	os.Exit(code)
}
