package compat

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/consul/api/watch"
)

// The plans of `consul watch` and of many programs.
func TestWatchPlans(t *testing.T) {
	t.Parallel()
	a := dev(t)
	plans := map[string]struct {
		params map[string]any
		seen   func(any) bool
	}{
		"key":       {map[string]any{"type": "key", "key": "w/k"}, func(v any) bool { p, _ := v.(*api.KVPair); return p != nil && string(p.Value) == "1" }},
		"keyprefix": {map[string]any{"type": "keyprefix", "prefix": "w/"}, func(v any) bool { p, _ := v.(api.KVPairs); return len(p) == 1 }},
		"services":  {map[string]any{"type": "services"}, func(v any) bool { m, _ := v.(map[string][]string); _, ok := m["watched"]; return ok }},
		"nodes":     {map[string]any{"type": "nodes"}, func(v any) bool { n, _ := v.([]*api.Node); return len(n) == 2 }},
		"service": {map[string]any{"type": "service", "service": "watched", "passingonly": true},
			func(v any) bool { e, _ := v.([]*api.ServiceEntry); return len(e) == 1 && e[0].Node.Node == "ext1" }},
		"checks": {map[string]any{"type": "checks", "service": "watched"}, func(v any) bool { c, _ := v.([]*api.HealthCheck); return len(c) == 1 }},
		"event":  {map[string]any{"type": "event", "name": "go"}, func(v any) bool { e, _ := v.([]*api.UserEvent); return len(e) == 1 }},
		"agent_service": {map[string]any{"type": "agent_service", "service_id": "local"},
			func(v any) bool { s, _ := v.(*api.AgentService); return s != nil && s.Port == 77 }},
	}
	noError(t, a.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "local", Port: 1}))
	seen := make(chan string, 100)
	for name, p := range plans {
		plan, err := watch.Parse(p.params)
		noError(t, err)
		plan.Handler = func(_ uint64, v any) {
			if p.seen(v) {
				seen <- name
			}
		}
		ended := make(chan error, 1)
		go func() { ended <- plan.Run(a.addr()) }()
		t.Cleanup(func() {
			plan.Stop()
			if err := <-ended; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	_, err := a.KV().Put(&api.KVPair{Key: "w/k", Value: []byte("1")}, nil)
	noError(t, err)
	registerExternal(t, a, "ext1", "10.0.0.1", "watched", "passing")
	noError(t, a.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "local", Port: 77}))
	_, _, err = a.Event().Fire(&api.UserEvent{Name: "go"}, nil)
	noError(t, err)
	missing := make(map[string]bool)
	for name := range plans {
		missing[name] = true
	}
	for timeout := time.After(20 * time.Second); len(missing) > 0; {
		select {
		case name := <-seen:
			delete(missing, name)
		case <-timeout:
			t.Fatal(fmt.Sprint("these plans did not see their change: ", missing))
		}
	}
}
