package store

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A limit of tries is patience of so many intervals, whatever the quick tries at the start.
func TestJoining_LimitCountsIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{log: slog.New(slog.NewTextHandler(io.Discard, nil))}
		tries, began := 0, time.Now()
		err := s.keepJoined(t.Context(), &joining{
			pool: "LAN", addrs: []string{"gone:8301"}, limit: 3, interval: 10 * time.Second,
			changed: new(broadcast), connected: func() bool { return false },
			join: func(context.Context, []string) (int, error) {
				tries++
				return 0, errors.New("1 error occurred:\n\t* refused\n")
			},
		})
		if err == nil || !strings.Contains(err.Error(), "3 tries 10s apart: 1 error occurred: * refused") {
			t.Errorf("the agent ends with %v", err)
		}
		if took := time.Since(began); took < 20*time.Second || took > 35*time.Second || tries < 4 {
			t.Errorf("gave up after %v and %d tries", took, tries)
		}
	})
}
