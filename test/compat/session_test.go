package compat

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

func TestSession(t *testing.T) {
	t.Parallel()
	a := server(t)
	id, _, err := a.Session().Create(&api.SessionEntry{Name: "s", TTL: "10s", Behavior: api.SessionBehaviorDelete, LockDelay: 5 * time.Second}, nil)
	noError(t, err)
	s := must(a.Session().Info(id, nil))(t)
	if s.Name != "s" || s.TTL != "10s" || s.Behavior != "delete" || s.Node != "n1" || s.LockDelay != 5*time.Second || len(s.NodeChecks) != 1 {
		t.Fatalf("session: %+v", s)
	}
	renewed, _, err := a.Session().Renew(id, nil)
	noError(t, err)
	equal(t, renewed.ID, id)
	equal(t, len(must(a.Session().Node("n1", nil))(t)), 1)
	equal(t, len(must(a.Session().List(nil))(t)), 1)
	ok, _, err := a.KV().Acquire(&api.KVPair{Key: "held", Session: id}, nil)
	noError(t, err)
	equal(t, ok, true)
	equal(t, must(a.KV().Get("held", nil))(t).Session, id)
	_, err = a.Session().Destroy(id, nil)
	noError(t, err)
	if p := must(a.KV().Get("held", nil))(t); p != nil {
		t.Fatalf("behaviour delete left %+v", p)
	}
	gone, _, err := a.Session().Renew(id, nil)
	noError(t, err)
	if gone != nil {
		t.Fatalf("renewed a session that is gone: %+v", gone)
	}
}

func TestSession_EndsWithItsCheck(t *testing.T) {
	t.Parallel()
	a := dev(t)
	noError(t, a.Agent().CheckRegister(&api.AgentCheckRegistration{ID: "alive", Name: "alive",
		AgentServiceCheck: api.AgentServiceCheck{TTL: "60s", Status: "passing"}}))
	var id string
	eventually(t, 5*time.Second, func() (err error) { // the check has to be in the catalog
		id, _, err = a.Session().Create(&api.SessionEntry{NodeChecks: []string{"serfHealth", "alive"}}, nil)
		return err
	})
	noError(t, a.Agent().FailTTL("alive", "dead"))
	eventually(t, 5*time.Second, func() error {
		s, _, err := a.Session().Info(id, nil)
		if err == nil && s != nil {
			err = fmt.Errorf("the session is still there: %+v", s)
		}
		return err
	})
}

// contend runs 8 clients which all want in; it returns the most that were in at once.
func contend(t *testing.T, a *agent, enter func(c *api.Client) (leave func() error, err error)) int32 {
	t.Helper()
	var in, most atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		c := a.client(t)
		wg.Go(func() {
			for range 2 {
				leave, err := enter(c)
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				n := in.Add(1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}
				time.Sleep(10 * time.Millisecond) // the critical section
				in.Add(-1)
				if err := leave(); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	return most.Load()
}

func TestLock_EightClients(t *testing.T) {
	t.Parallel()
	a := server(t)
	most := contend(t, a, func(c *api.Client) (func() error, error) {
		l, err := c.LockOpts(&api.LockOptions{Key: "lock", LockWaitTime: 5 * time.Second})
		if err != nil {
			return nil, err
		}
		lost, err := l.Lock(nil)
		if err == nil && lost == nil {
			err = fmt.Errorf("not locked")
		}
		return l.Unlock, err
	})
	equal(t, most, int32(1))
}

func TestSemaphore_EightClients(t *testing.T) {
	t.Parallel()
	a := server(t)
	most := contend(t, a, func(c *api.Client) (func() error, error) {
		s, err := c.SemaphorePrefix("sem", 3)
		if err != nil {
			return nil, err
		}
		held, err := s.Acquire(nil)
		if err == nil && held == nil {
			err = fmt.Errorf("not acquired")
		}
		return s.Release, err
	})
	if most < 1 || most > 3 {
		t.Fatalf("%d holders of a semaphore of 3", most)
	}
}

func TestLock_DelayAfterLostSession(t *testing.T) {
	t.Parallel()
	a := server(t)
	first, err := a.LockOpts(&api.LockOptions{Key: "lead", LockDelay: time.Second, SessionTTL: "10s"})
	noError(t, err)
	lost, err := first.Lock(nil)
	noError(t, err)
	holder := must(a.KV().Get("lead", nil))(t).Session
	_, err = a.Session().Destroy(holder, nil)
	noError(t, err)
	began := time.Now()
	select {
	case <-lost:
	case <-time.After(5 * time.Second):
		t.Fatal("the holder was not told")
	}
	second, err := a.client(t).LockKey("lead")
	noError(t, err)
	got, err := second.Lock(nil)
	noError(t, err)
	if took := time.Since(began); got == nil || took < 900*time.Millisecond {
		t.Fatalf("taken %v after the session was lost, lock-delay is 1 s", took)
	}
	noError(t, second.Unlock())
	noError(t, second.Destroy())
}
