package store

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// To end the sessions of a dead host takes its time: who renews meanwhile keeps its session.
func TestSessionTimers_RenewedWhileOthersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{log: slog.New(slog.DiscardHandler), renewals: newQueue[renewal](100)}
		const life = 20 * time.Second
		timers := sessionTimers{ends: map[string]time.Time{"kept": time.Now().Add(life)}}
		for i := range 300 {
			timers.ends[fmt.Sprint("dead-", i)] = time.Now()
		}
		timers.destroyOverdue(t.Context(), s, func(_ context.Context, id string) error {
			if id == "kept" {
				t.Error("a session was ended that is renewed each second")
			}
			time.Sleep(time.Second)
			s.renewals.put(renewal{"kept", time.Now().Add(life)})
			return nil
		})
		if n := len(timers.ends); n != 1 {
			t.Errorf("%d sessions are left, want 1", n)
		}
	})
}
