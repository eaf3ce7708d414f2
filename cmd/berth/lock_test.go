package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth"
	"berth/internal/config"
	"berth/internal/testutil"
)

func TestLock_RunsTheCommandAndCleansUp(t *testing.T) {
	s := newFakeStore(t)
	r := s.run(t, "", "lock", "app/lock", "echo", "held=$CONSUL_LOCK_HELD")
	testutil.Equal(t, r, result{0, "held=true\n", ""})
	testutil.Equal(t, s.names(), []string{})
	testutil.Equal(t, s.run(t, "", "lock", "app/lock", "exit 3").status, 1)
	testutil.Equal(t, s.run(t, "", "lock", "-child-exit-code", "app/lock", "exit 3").status, 2)
	testutil.Equal(t, s.run(t, "fed", "lock", "-pass-stdin", "app/lock", "cat").stdout, "fed")
	testutil.Equal(t, s.run(t, "", "lock", "-n", "3", "app/sem", "echo", "in").stdout, "in\n")
}

// TestLock_Excludes: a second one waits for the first, and gives up when told to.
func TestLock_Excludes(t *testing.T) {
	for _, n := range []int{1, 2} {
		t.Run(fmt.Sprint("limit ", n), func(t *testing.T) {
			s := newFakeStore(t)
			limit := fmt.Sprint("-n=", n)
			stop := filepath.Join(t.TempDir(), "stop")
			first := make(chan result, n)
			for range n {
				go func() {
					first <- s.run(t, "", "lock", limit, "app", "while [ ! -e "+stop+" ]; do sleep 0.02; done; echo done")
				}()
			}
			testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error { return s.taken(n) })
			r := s.run(t, "", "lock", limit, "-timeout", "200ms", "app", "echo", "in")
			if r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "the lock was not free within 200ms") {
				t.Errorf("while it is held: %+v", r)
			}
			next := make(chan result, 1)
			go func() { next <- s.run(t, "", "lock", limit, "app", "echo", "in") }()
			testutil.Equal(t, berthCommand(t, nil, "", "keygen").status, 0)
			writeFile(t, stop)
			for range n {
				testutil.Equal(t, (<-first).stdout, "done\n")
			}
			testutil.Equal(t, (<-next).stdout, "in\n")
		})
	}
}

// taken says whether n hold the lock or semaphore below app.
func (s *fakeStore) taken(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	kv := s.keys["app/.lock"]
	if kv == nil || n == 1 && kv.Session == "" || n > 1 && strings.Count(string(kv.Value), "true") != n {
		return fmt.Errorf("not taken: %+v", kv)
	}
	return nil
}

// TestLock_Lost: the command ends when the session is gone.
func TestLock_Lost(t *testing.T) {
	s := newFakeStore(t)
	done := make(chan result, 1)
	go func() { done <- s.run(t, "", "lock", "-shell=false", "app", "sleep", "60") }()
	testutil.Eventually(t, 10*time.Second, 10*time.Millisecond, func() error { return s.taken(1) })
	s.endSession("session-1")
	select {
	case r := <-done:
		if r.status != 1 || !strings.Contains(r.stderr, "Lock lost, the command was ended: lock lost") {
			t.Errorf("got %+v", r)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the command still runs 20 s after the lock was lost")
	}
}

func TestLock_RefusesForeignKeys(t *testing.T) {
	s := newFakeStore(t)
	testutil.Equal(t, s.run(t, "", "kv", "put", "app/.lock", "mine").status, 0)
	r := s.run(t, "", "lock", "app", "echo", "in")
	if r.status != 1 || !strings.Contains(r.stderr, "the key exists and is not a lock") {
		t.Errorf("got %+v", r)
	}
}

// TestExec: the command and the agent's side together.
func TestExec(t *testing.T) {
	s := newFakeStore(t)
	e := &env{ctx: context.Background(), vars: []string{"BERTH_HTTP_ADDR=" + s.URL}}
	cl, err := e.client(&clientFlags{})
	testutil.NoError(t, err)
	agent := &remoteExec{cl: cl, node: "n1", log: testutil.Logger(t)}
	testutil.Start(t, agent.run)
	var r result
	testutil.Eventually(t, 20*time.Second, 10*time.Millisecond, func() error {
		r = s.run(t, "", "exec", "-wait", "500ms", "-wait-repl", "0s", "echo hello; exit 4")
		if !strings.Contains(r.stdout, "1 / 1 node(s)") {
			return fmt.Errorf("the agent did not take part: %+v", r)
		}
		return nil
	})
	testutil.Equal(t, r.status, 2)
	testutil.Equal(t, r.stdout, "    n1: hello\n==> n1: finished with exit code 4\n1 / 1 node(s) completed / acknowledged\n")
	testutil.Equal(t, s.names(), []string{})
}

// TestWatch_RunsOnChangeOnly: the handler runs at start and at each change of the content.
func TestWatch_RunsOnChangeOnly(t *testing.T) {
	s := newFakeStore(t)
	put := func(key, value string) { testutil.Equal(t, s.run(t, "", "kv", "put", key, value).status, 0) }
	put("a", "1")
	ctx, cancel := context.WithCancel(context.Background())
	e := &env{ctx: ctx, vars: []string{"BERTH_HTTP_ADDR=" + s.URL}}
	cl, err := e.client(&clientFlags{})
	testutil.NoError(t, err)
	w, err := config.ParseWatch(map[string]any{"type": "key", "key": "a", "args": []any{"x"}})
	testutil.NoError(t, err)
	values, done := make(chan string, 10), make(chan struct{})
	go func() {
		defer close(done)
		newWatchPlan(cl, w).follow(ctx, func(_ uint64, result json.RawMessage) {
			kv, err := jsonOf[berth.KVEntry](result)
			values <- fmt.Sprintf("%s %v", kv.Value, err)
		}, func(err error) { values <- err.Error() })
	}()
	testutil.Equal(t, <-values, "1 <nil>")
	put("other", "wakes the query, changes nothing")
	put("a", "2")
	testutil.Equal(t, <-values, "2 <nil>")
	cancel()
	<-done
}
