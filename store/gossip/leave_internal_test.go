package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"berth"
	"berth/internal/testutil"
)

// runPool runs a pool that gossips fast, on a port of its own.
func runPool(t *testing.T, name string) *Pool {
	t.Helper()
	p, err := New(Config{
		Logger: slog.New(slog.DiscardHandler), Name: name, BindAddr: "127.0.0.1", AdvertiseAddr: "127.0.0.1", LeaveDelay: 100 * time.Millisecond,
		Timing: Timing{GossipInterval: 10 * time.Millisecond},
	})
	testutil.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	go func() { over <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		testutil.NoError(t, <-over)
	})
	testutil.Eventually(t, 5*time.Second, time.Millisecond, func() error {
		if p.serf.Load() == nil {
			return ErrNotRunning
		}
		return nil
	})
	return p
}

// A join that ends after the leave was announced would take the announcement back: the others
// would see the member fail, and count it for their quorum.
func TestLeave_WhileJoining(t *testing.T) {
	for i := range 8 {
		stays, goes := runPool(t, "stays"), runPool(t, "goes")
		addr := []string{fmt.Sprintf("127.0.0.1:%d", stays.Port())}
		_, err := goes.Join(t.Context(), addr)
		testutil.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var joins sync.WaitGroup
		joined := make(chan struct{}, 1)
		joins.Go(func() {
			for ctx.Err() == nil {
				_, _ = goes.Join(ctx, addr)
				select {
				case joined <- struct{}{}:
				default:
				}
			}
		})
		<-joined
		testutil.NoError(t, goes.Leave())
		cancel()
		joins.Wait()
		testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error {
			for _, m := range stays.Members() {
				if m.Name == "goes" && m.Status != berth.MemberLeft {
					return fmt.Errorf("round %d: the member that left is %v", i, m.Status)
				}
			}
			return nil
		})
	}
}
