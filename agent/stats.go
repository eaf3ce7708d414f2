package agent

import (
	"maps"
	"time"

	"berth"
)

// Stats is what the agent's checks are like now, and what they have done since it was made.
type Stats struct {
	Services int
	Checks   map[string]int      // by status; all three statuses are there
	Runs     map[string]RunStats // by type; only types that have run
	Changes  uint64              // of a check's status
}

// RunStats are the runs of one type of check.
type RunStats struct {
	Count uint64
	Took  time.Duration // sum
}

// Stats counts services and checks; it is safe for concurrent use.
func (a *Agent) Stats() Stats {
	s := Stats{Checks: map[string]int{berth.StatusPassing: 0, berth.StatusWarning: 0, berth.StatusCritical: 0}}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.Services, s.Runs, s.Changes = len(a.services), maps.Clone(a.runs), a.changes
	for _, c := range a.checks {
		s.Checks[c.row.Status]++
	}
	return s
}

// countRun counts a run of a check; a.mu is held.
func (a *Agent) countRun(kind string, took time.Duration) {
	if a.runs == nil {
		a.runs = map[string]RunStats{}
	}
	r := a.runs[kind]
	r.Count++
	r.Took += took
	a.runs[kind] = r
}
