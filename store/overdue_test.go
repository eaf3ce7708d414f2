package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"berth"
	"berth/internal/testcluster"
	"berth/internal/testutil"
)

func externalCheck(status string, after time.Duration) *berth.Registration {
	return &berth.Registration{
		Node: "outside", Address: "10.9.9.9", Service: &berth.ServiceInstance{ID: "db", Name: "db"},
		Check: &berth.Check{
			CheckID: "db-check", ServiceID: "db", Status: status,
			Definition: berth.CheckTarget{DeregisterCriticalServiceAfter: berth.Duration(after)},
		},
	}
}

// The time goes on to count over a change of leader.
func TestStore_OverdueService_GoesAfterLeaderChange(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{Servers: 3})
	lead := c.WaitLeader(15 * time.Second)
	c.WaitVoters(3, 20*time.Second)
	const after = 6 * time.Second
	ctx := context.Background()
	testutil.NoError(t, c.Nodes[lead].Register(ctx, externalCheck("passing", after)))
	testutil.NoError(t, c.Nodes[lead].Register(ctx, externalCheck("critical", after)))
	began := time.Now()
	c.Kill(lead)
	other := (lead + 1) % 3
	testutil.Eventually(t, 20*time.Second, 5*time.Millisecond, func() error {
		ns, err := c.Nodes[other].NodeState(ctx, "outside")
		if err != nil || len(ns.Services) > 0 {
			return fmt.Errorf("still there: %w", err)
		}
		return nil
	})
	took := time.Since(began)
	t.Logf("gone after %v", took)
	if took < after-100*time.Millisecond || took > after+3*time.Second {
		t.Errorf("the service went after %v, want %v", took, after)
	}
}
