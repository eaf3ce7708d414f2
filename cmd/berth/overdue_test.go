package main

import (
	"context"
	"testing"
	"time"

	"berth"
)

// What asks for it is taken out when its host has died; when the host was only cut off it comes
// back with it, at once.
func TestDeregisterCriticalServiceAfter_OfADeadHost(t *testing.T) {
	h := newHosts(t)
	h.up(1)
	ttl := func(after time.Duration) *berth.CheckDefinition {
		return &berth.CheckDefinition{Status: berth.StatusPassing, CheckTarget: berth.CheckTarget{
			TTL: berth.Duration(time.Hour), DeregisterCriticalServiceAfter: berth.Duration(after),
		}}
	}
	for id, after := range map[string]time.Duration{"short": time.Second, "long": time.Hour, "never": 0} {
		def := &berth.ServiceDefinition{Name: id, Check: ttl(after)}
		if err := h.agents[1].RegisterService(context.Background(), def, false); err != nil {
			t.Fatal(err)
		}
	}
	h.want(1, "long never short")
	h.Isolate(1)
	h.want(1, "long never")
	h.Heal()
	h.want(1, "long never short")
}
