package check

import "berth"

// Hysteresis turns results into a status: so many successes in a row make it passing (or
// warning), so many failures in a row warning, so many critical. It starts full, so that the
// first result counts at once. It is for one goroutine at a time.
type Hysteresis struct {
	passing, warning, critical int // thresholds
	successes, failures        int // in a row
}

// NewHysteresis takes the thresholds of a definition; 0 and 1 are at once, and the one for
// warning is the one for critical unless it is set.
func NewHysteresis(def *berth.CheckDefinition) *Hysteresis {
	h := &Hysteresis{
		passing: def.SuccessBeforePassing, warning: def.FailuresBeforeWarning, critical: def.FailuresBeforeCritical,
	}
	if h.warning == 0 {
		h.warning = h.critical
	}
	h.successes, h.failures = h.passing, h.critical
	return h
}

// Restart has counting begin at zero: for a check whose status was kept over a restart.
func (h *Hysteresis) Restart() { h.successes, h.failures = 0, 0 }

// Adopt goes on counting where old is.
func (h *Hysteresis) Adopt(old *Hysteresis) { h.successes, h.failures = old.successes, old.failures }

// Next counts a result; ok is false while it does not change anything.
func (h *Hysteresis) Next(r Result) (status string, ok bool) {
	if r.Status != berth.StatusCritical {
		h.successes++
		h.failures = 0
		return r.Status, h.successes >= h.passing
	}
	h.failures++
	h.successes = 0
	switch {
	case r.Final || h.failures >= h.critical:
		return berth.StatusCritical, true
	case h.failures >= h.warning:
		return berth.StatusWarning, true
	}
	return berth.StatusCritical, false
}
