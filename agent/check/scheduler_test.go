package check

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"berth"
	"berth/internal/testutil"
)

// fakeRunner notes when it runs.
type fakeRunner struct {
	takes time.Duration

	mu    sync.Mutex
	runs  []time.Time
	ended int
	now   int // under way
	most  int // under way at once
}

func (f *fakeRunner) Run(ctx context.Context) Result {
	f.mu.Lock()
	f.runs = append(f.runs, time.Now())
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	t := time.NewTimer(f.takes)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now--
	f.ended++
	return Result{Status: berth.StatusPassing}
}

func (f *fakeRunner) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.runs)
}

// advance lets a synctest bubble's clock run.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func runScheduler(t *testing.T) (s *Scheduler, stop func()) {
	t.Helper()
	s = NewScheduler()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, func() {
		t.Helper()
		cancel()
		testutil.NoError(t, <-done)
	}
}

func noReport(Result) {}

func TestScheduler_FirstRunIsAtOnceThenEachInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := runScheduler(t)
		defer stop()
		synctest.Wait()
		f := &fakeRunner{takes: time.Second}
		begin := time.Now()
		s.Start(Task{Run: f, Interval: 10 * time.Second, Report: noReport})
		advance(time.Minute)
		if d := f.runs[0].Sub(begin); d > 5*time.Millisecond {
			t.Errorf("first run after %v", d)
		}
		testutil.Equal(t, f.count(), 6) // 11 s apart
		for i := 1; i < len(f.runs); i++ {
			if d := f.runs[i].Sub(f.runs[i-1]); d < 10900*time.Millisecond || d > 11*time.Second {
				t.Errorf("run %d came %v after the one before", i, d)
			}
		}
	})
}

func TestScheduler_ManyAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := runScheduler(t)
		defer stop()
		f := &fakeRunner{takes: 10 * time.Millisecond}
		begin := time.Now()
		for range 2000 {
			s.Start(Task{Run: f, Interval: 10 * time.Second, Report: noReport})
		}
		advance(1100 * time.Millisecond)
		if n := f.count(); n < 2000 {
			t.Errorf("%d of 2000 checks ran within 1.1 s", n)
		}
		advance(time.Minute)
		perSecond := make([]int, 63)
		for _, at := range f.runs {
			perSecond[int(at.Sub(begin)/time.Second)]++
		}
		for sec, n := range perSecond[20:60] { // 200 on average
			if n < 100 || n > 350 {
				t.Errorf("%d runs in second %d", n, sec+20)
			}
		}
	})
}

func TestScheduler_HangingCheckHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := runScheduler(t)
		defer stop()
		slow, fast := &fakeRunner{takes: time.Hour}, &fakeRunner{}
		for range 50 {
			s.Start(Task{Run: slow, Interval: time.Second, Report: noReport})
		}
		s.Start(Task{Run: fast, Interval: time.Second, Report: noReport})
		advance(30 * time.Second)
		testutil.Equal(t, slow.count(), 50) // one run each at a time
		if n := fast.count(); n < 29 {
			t.Errorf("%d runs in 30 s", n)
		}
	})
}

func TestScheduler_Stop_EndsRunAndReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewScheduler()
		reports := 0
		f := &fakeRunner{takes: time.Minute}
		early := s.Start(Task{Run: f, Interval: time.Second, Report: noReport}) // before Run
		early.Stop()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		j := s.Start(Task{Run: f, Interval: time.Second, Report: func(Result) { reports++ }})
		advance(time.Second)
		testutil.Equal(t, f.count(), 1)
		j.Stop()
		j.Stop()
		synctest.Wait()
		testutil.Equal(t, f.ended, 1)
		advance(time.Hour)
		testutil.Equal(t, f.count(), 1)
		testutil.Equal(t, reports, 0)
		testutil.Equal(t, s.fresh, 0)
		s.Start(Task{Run: f, Interval: time.Second, Report: noReport})
		advance(time.Second)
		cancel()
		testutil.NoError(t, <-done)
		testutil.Equal(t, f.ended, 2) // Run waited for it
	})
}
