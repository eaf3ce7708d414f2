package agent

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"berth"
	"berth/internal/backoff"
)

// Keys of the journal in services/: what must survive a restart.
const (
	keyService     = "service:"     // + ID: an API service, without checks
	keyCheck       = "check:"       // + ID: an API check
	keyMaintenance = "maintenance:" // + check ID: a maintenance check
	keyDrop        = "drop:"        // + source/(service:|check:)ID: owner, see Forget
)

// savedState is a value of the journal in checks/: the last status of the check of that ID.
type savedState struct {
	Status   string    `json:"status"`
	Output   string    `json:"output,omitempty"`
	Owner    string    `json:"owner,omitempty"`   // of its service then
	Deadline time.Time `json:"deadline,omitzero"` // of a TTL check
	Since    time.Time `json:"since,omitzero"`    // when it became critical; for DeregisterCriticalServiceAfter
}

// load reads both journals; only New calls it.
func (a *Agent) load() {
	a.states.entries(func(id string, value []byte) {
		var st savedState
		if err := json.Unmarshal(value, &st); err != nil {
			a.log.Error("saved check status cannot be read and is ignored", "check", id, "err", err)
			return
		}
		a.states0[id] = st
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	services := idSet{}
	var checks []string
	a.saved.entries(func(key string, value []byte) {
		if err := a.loadEntry(key, value, services, &checks); err != nil {
			a.log.Error("saved registration cannot be used and is ignored", "key", key, "err", err)
		}
	})
	a.loading = true
	defer func() { a.loading = false }()
	a.refreshServices(services)
	if len(services)+len(checks) > 0 {
		a.log.Info("saved registrations loaded", "services", len(services), "checks", len(checks))
	}
	for _, id := range checks {
		a.refreshCheck(id)
	}
}

func (a *Agent) loadEntry(key string, value []byte, services idSet, checks *[]string) error {
	if rest, ok := strings.CutPrefix(key, keyDrop); ok {
		name, entry, _ := strings.Cut(rest, "/")
		var owner string
		if err := json.Unmarshal(value, &owner); err != nil {
			return err
		}
		a.source(name).dropped[entry] = owner
		return nil
	}
	if id, ok := strings.CutPrefix(key, keyService); ok {
		var def berth.ServiceDefinition
		if err := json.Unmarshal(value, &def); err != nil {
			return err
		}
		w, _, err := a.prepareService(&def, berth.SourceAPI)
		if err != nil {
			return err
		}
		a.source(berth.SourceAPI).services[id] = w
		services.add(id)
		return nil
	}
	var def berth.CheckDefinition
	if err := json.Unmarshal(value, &def); err != nil {
		return err
	}
	if id, ok := strings.CutPrefix(key, keyMaintenance); ok {
		a.source(sourceMaintenance).setCheck(id, &wantedCheck{def: &def})
		*checks = append(*checks, id)
		return nil
	}
	if id, ok := strings.CutPrefix(key, keyCheck); ok {
		w, err := a.prepareCheck(&def, berth.SourceAPI)
		if err != nil {
			return err
		}
		a.source(berth.SourceAPI).setCheck(id, w)
		*checks = append(*checks, id)
	}
	return nil
}

// settle forgets what was saved about services that have not come back since the start. It
// is called again and again; a.mu is held.
func (a *Agent) settle(now time.Time) {
	if a.settled || now.Before(a.noRemove) {
		return
	}
	for _, name := range a.cfg.Sources {
		if !a.source(name).spoken {
			return
		}
	}
	a.settled = true
	for id := range a.states0 {
		a.states.remove(id)
	}
	clear(a.states0)
	for _, name := range []string{berth.SourceAPI, sourceMaintenance} {
		s := a.source(name)
		for id, w := range s.checks {
			if w.def.ServiceID != "" && a.services[w.def.ServiceID] == nil {
				a.log.Info("saved check is dropped, for its service has not come back", "check", id, "service_id", w.def.ServiceID)
				s.deleteCheck(id)
				a.saved.remove(savedKey(name, id))
			}
		}
	}
	signal(a.flush)
}

// stateDirtyFor marks a check's status for saving; a.mu is held.
func (a *Agent) stateDirtyFor(id string) {
	if a.states == nil {
		return
	}
	a.stateDirty.add(id)
	signal(a.flush)
}

// saveStates puts the marked statuses into the journal's buffer; a.mu is held.
func (a *Agent) saveStates() {
	for id := range a.stateDirty {
		c := a.checks[id]
		if c == nil || c.passive() {
			a.states.remove(id)
			continue
		}
		st := savedState{Status: c.row.Status, Output: c.row.Output, Owner: c.owner, Deadline: c.deadline}
		if c.def.DeregisterCriticalServiceAfter > 0 {
			st.Since = c.since
		}
		if err := a.states.set(id, st); err != nil {
			a.log.Error("check status cannot be saved", "check", id, "err", err)
		}
	}
	clear(a.stateDirty)
}

// saveEvery is how long statuses are collected before they are written.
const saveEvery = 100 * time.Millisecond

// saveLoop writes statuses, and tries again what the durable journal could not write.
func (a *Agent) saveLoop(ctx context.Context) error {
	retry := backoff.Backoff{Min: time.Second, Max: 30 * time.Second}
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.flush:
		}
		if backoff.Sleep(ctx, saveEvery) != nil {
			return nil
		}
		a.mu.Lock()
		a.saveStates()
		a.mu.Unlock()
		err := a.states.commit()
		if a.saved.pending() {
			if e := a.saved.commit(); err == nil {
				err = e
			}
		}
		if err == nil {
			failing = false
			retry.Reset()
			continue
		}
		if !failing {
			a.log.Error("cannot write to the data directory; trying again", "dir", a.cfg.DataDir, "err", err)
		}
		failing = true
		if retry.Wait(ctx) != nil {
			return nil
		}
		signal(a.flush)
	}
}
