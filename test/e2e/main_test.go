//go:build e2e

package e2e

import (
	"os"
	"testing"

	"berth/internal/dockertest"
)

func TestMain(m *testing.M) { os.Exit(dockertest.Main(m)) }
