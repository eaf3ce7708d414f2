package check

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Task is a check to run again and again.
type Task struct {
	Run      Runner
	Interval time.Duration // from the end of a run to the start of the next
	Report   func(Result)  // called after each run, on a goroutine of its own, without locks
}

// Scheduler runs tasks: one goroutine with one timer, and one more goroutine for each run
// while it lasts, so that a check that hangs holds up no other. A task has at most one run at
// a time.
type Scheduler struct {
	wake chan struct{}

	mu    sync.Mutex // guards the fields below
	queue jobQueue
	fresh int // jobs in queue that have never run
	ctx   context.Context
	wg    sync.WaitGroup
}

// Job is a task that was started.
type Job struct {
	s       *Scheduler
	task    Task
	at      time.Time // next run
	index   int       // in the queue; -1: not in it
	spread  float64   // 0 to 1: how much of the interval the second run is moved by at random
	ran     bool
	stopped bool
	cancel  context.CancelFunc // of the run that is under way
}

// First runs are spread over one millisecond or two for each check that waits for its own,
// and over a second at most.
const (
	firstStep = 2 * time.Millisecond
	firstMax  = time.Second
)

// NewScheduler starts nothing.
func NewScheduler() *Scheduler { return &Scheduler{wake: make(chan struct{}, 1)} }

// Start has task run, the first time almost at once, until Stop. It may be called before Run.
func (s *Scheduler) Start(task Task) *Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fresh++
	window := min(time.Duration(s.fresh)*firstStep, firstMax)
	j := &Job{s: s, task: task, index: -1, spread: float64(window) / float64(firstMax)}
	j.at = time.Now().Add(rand.N(min(window, max(task.Interval, 1))))
	s.push(j)
	return j
}

// Stop ends the task and cancels a run that is under way; it does not wait for it. A report
// may still come.
func (j *Job) Stop() {
	j.s.mu.Lock()
	defer j.s.mu.Unlock()
	if j.stopped {
		return
	}
	j.stopped = true
	if !j.ran {
		j.s.fresh--
		j.ran = true
	}
	if j.index >= 0 {
		heap.Remove(&j.s.queue, j.index)
	}
	if j.cancel != nil {
		j.cancel()
	}
}

func (s *Scheduler) push(j *Job) {
	heap.Push(&s.queue, j)
	if j.index == 0 {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// Run runs the tasks until ctx ends and all runs have ended.
func (s *Scheduler) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(s.startDue())
		select {
		case <-ctx.Done():
			s.wg.Wait()
			return nil
		case <-s.wake:
		case <-timer.C:
		}
	}
}

// startDue starts the runs that are due and returns how long until the next one is.
func (s *Scheduler) startDue() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for len(s.queue) > 0 && s.ctx.Err() == nil {
		j := s.queue[0]
		if wait := j.at.Sub(now); wait > 0 {
			return wait
		}
		heap.Pop(&s.queue)
		ctx, cancel := context.WithCancel(s.ctx)
		j.cancel = cancel
		s.wg.Go(func() { s.runOne(ctx, j) })
	}
	return time.Hour
}

func (s *Scheduler) runOne(ctx context.Context, j *Job) {
	began := time.Now()
	r := j.task.Run.Run(ctx)
	r.Took = time.Since(began)
	if ctx.Err() == nil {
		j.task.Report(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j.cancel()
	j.cancel = nil
	if j.stopped {
		return
	}
	wait := j.task.Interval
	if !j.ran {
		j.ran = true
		s.fresh--
		// Spread those that were started together over the interval.
		wait -= time.Duration(rand.Float64() * j.spread * float64(wait))
	}
	j.at = time.Now().Add(wait)
	s.push(j)
}

type jobQueue []*Job

func (q jobQueue) Len() int           { return len(q) }
func (q jobQueue) Less(i, k int) bool { return q[i].at.Before(q[k].at) }
func (q jobQueue) Swap(i, k int) {
	q[i], q[k] = q[k], q[i]
	q[i].index, q[k].index = i, k
}

func (q *jobQueue) Push(x any) {
	j := x.(*Job)
	j.index = len(*q)
	*q = append(*q, j)
}

func (q *jobQueue) Pop() any {
	old := *q
	j := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	j.index = -1
	return j
}
