package dockertest

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
)

// shared is the engine of Shared.
var shared struct {
	sync.Mutex // guards engine
	engine     *Engine
}

// Shared is an engine for tests that do not stop it: it is started once for the process, and holds
// no container when a test begins. Only tests that run one after another may use it; the
// package's TestMain calls Main.
func Shared(t testing.TB) *Engine {
	t.Helper()
	Require(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.engine == nil {
		shared.engine = Start(&process{})
	}
	e := &Engine{t: t, dir: shared.engine.dir, bridge: shared.engine.bridge}
	t.Cleanup(e.removeContainers)
	return e
}

// Main runs the tests, stops the shared engine, and gives the exit status for TestMain.
func Main(m *testing.M) int {
	code := m.Run()
	if e := shared.engine; e != nil {
		e.t.(*process).end()
	}
	return code
}

// process stands for the whole test process where a test is asked for.
type process struct {
	testing.TB
	cleanups []func()
}

func (p *process) Helper()                      {}
func (p *process) Cleanup(f func())             { p.cleanups = append(p.cleanups, f) }
func (p *process) Log(args ...any)              { fmt.Fprintln(os.Stderr, args...) }
func (p *process) Fatal(args ...any)            { p.Log(args...); runtime.Goexit() }
func (p *process) Fatalf(f string, args ...any) { p.Fatal(fmt.Sprintf(f, args...)) }

func (p *process) end() {
	for i := len(p.cleanups) - 1; i >= 0; i-- {
		p.cleanups[i]()
	}
}
