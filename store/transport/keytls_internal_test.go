package transport

import (
	"testing"
	"testing/synctest"
	"time"

	"berth/internal/testutil"
)

func TestKeyTLS_RenewsItsCertificateByTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, err := NewKeyTLS(func() [][]byte { return [][]byte{[]byte("0123456789abcdef")} })
		testutil.NoError(t, err)
		first := k.bundle
		for _, c := range []struct {
			name  string
			age   time.Duration
			fresh bool
		}{
			{"new", 0, true}, {"old", leafRenew + time.Minute, false}, {"the clock was put back by an hour", -time.Hour, true},
			{"the clock was put back by a day", -24 * time.Hour, false}, {"the clock was put forward by a year", 365 * 24 * time.Hour, false},
		} {
			if got := first.fresh(first.made.Add(c.age)); got != c.fresh {
				t.Errorf("%s: fresh is %v", c.name, got)
			}
		}
		time.Sleep(leafRenew + time.Minute)
		if b, err := k.current(); err != nil || b == first {
			t.Errorf("an old certificate is still used: %v", err)
		}
	})
}
