// Package gcpace lets the garbage collector run less often while it runs all the time: under load
// a small live heap is collected dozens of times a second, which costs a tenth of the processor and
// saves a few megabytes. In quiet times, and with a large heap, the collector keeps Go's own pace.
package gcpace

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	period = time.Second
	busy   = 5         // collections in a period that make it a busy one
	calm   = 5         // quiet periods after which Go's own pace returns
	normal = 100       // Go's default GOGC
	most   = 400       // GOGC under load
	budget = 128 << 20 // bytes that the heap may grow to for this
)

// Run adapts the collector's pace, process-wide, until ctx ends. With GOGC or GOMEMLIMIT set in the
// environment it leaves the pace to them.
func Run(ctx context.Context) error {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(period)
	defer tick.Stop()
	defer debug.SetGCPercent(normal)
	p := pacer{percent: normal}
	cycles, _ := read()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, live := read()
		if percent := p.next(now-cycles, live); percent != p.percent {
			p.percent = percent
			debug.SetGCPercent(percent)
		}
		cycles = now
	}
}

// pacer decides on the pace.
type pacer struct {
	percent int // in force
	quiet   int // periods since the last busy one
}

// next is the GOGC for the next period, after one with so many collections that found live bytes.
// A heap that may grow further is collected less often: what was busy at normal pace is so still
// when a quarter of the collections remains.
func (p *pacer) next(cycles, live uint64) int {
	if cycles*uint64(p.percent)/normal >= busy {
		p.quiet = 0
		return max(normal, min(most, room(live)))
	}
	if p.quiet++; p.quiet < calm {
		return min(p.percent, max(normal, room(live)))
	}
	return normal
}

// room is the GOGC with which live bytes grow to the budget.
func room(live uint64) int {
	if live >= budget {
		return 0
	}
	return int(min(most, (budget-live)*100/max(live, 1)))
}

// read gives how often the collector ran since the process began, and what was live at its last end.
func read() (cycles, live uint64) {
	s := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}
