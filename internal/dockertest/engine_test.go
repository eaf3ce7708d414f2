package dockertest

import (
	"strings"
	"testing"
)

func TestEngine_RunsContainersAndRestarts(t *testing.T) {
	e := Start(t)
	id := e.Docker("run", "-d", "--restart", "always", Image)
	e.Restart()
	if ids := e.Docker("ps", "-q", "--no-trunc"); !strings.Contains(ids, id) {
		t.Fatalf("container %s is not running after the restart: %q", id, ids)
	}
	e.Kill()
	e.Up()
	if ids := e.Docker("ps", "-aq", "--no-trunc"); !strings.Contains(ids, id) {
		t.Fatalf("container %s is unknown after the kill: %q", id, ids)
	}
}
