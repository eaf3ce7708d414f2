package agent

import (
	"reflect"
	"slices"

	"berth"
	"berth/agent/check"
)

// local is an effective service: the one that this host has under its ID.
type local struct {
	src    *source
	want   *wantedService
	row    *berth.ServiceInstance // want.row, or a copy with the catalog's tags
	hidden bool                   // taken out because critical for too long; its checks go on
	lent   bool                   // the catalog has had it with EnableTagOverride: tags there are others' word
}

// winner is the definition that counts for a service ID; nil: none does. a.mu is held.
func (a *Agent) winner(id string) (*source, *wantedService) {
	for _, s := range a.sources {
		if w := s.services[id]; w != nil && !s.isDropped(keyService+id, w.owner()) {
			return s, w
		}
	}
	return nil, nil
}

// winnerCheck is the definition that counts for a check ID; a.mu is held.
func (a *Agent) winnerCheck(id string) (*source, *wantedCheck) {
	for _, s := range a.sources {
		w := s.checks[id]
		if w == nil {
			continue
		}
		svc := a.services[w.def.ServiceID]
		if w.def.ServiceID != "" && (svc == nil || w.bundled && svc.src != s) {
			continue
		}
		if !s.isDropped(keyCheck+id, ownerOf(svc)) {
			return s, w
		}
	}
	return nil, nil
}

func ownerOf(svc *local) string {
	if svc == nil {
		return ""
	}
	return svc.want.owner()
}

// refreshServices brings the effective services with these IDs, and their checks, in line
// with what the sources want. a.mu is held.
func (a *Agent) refreshServices(ids idSet) {
	for id := range ids {
		a.refreshService(id)
	}
}

func (a *Agent) refreshService(id string) {
	s, w := a.winner(id)
	old := a.services[id]
	switch {
	case w == nil && old != nil:
		a.removeService(id, old)
	case w != nil && (old == nil || old.want != w || old.src != s):
		a.putService(id, old, &local{src: s, want: w, row: w.row})
	}
	a.warnConflict(id, s)
	ids := idSet{}
	for cid := range a.byService[id] {
		ids.add(cid)
	}
	for _, src := range a.sources {
		for cid := range src.byService[id] {
			ids.add(cid)
		}
	}
	a.refreshChecks(ids)
}

func (a *Agent) putService(id string, old, svc *local) {
	a.services[id] = svc
	if old != nil && !old.hidden && sameService(old.row, svc.row) {
		svc.row, svc.lent = old.row, old.lent
		return
	}
	if old != nil && old.hidden && old.src == svc.src && old.want.owner() == svc.want.owner() {
		svc.hidden = true
		return
	}
	a.dirty.putService(id)
	if old != nil {
		for cid := range a.byService[id] {
			a.dirty.putCheck(cid)
		}
	} else {
		news := a.log.Info
		if a.loading {
			news = a.log.Debug
		}
		news("service registered", "service", svc.row.Name, "id", id, "source", svc.src.name)
	}
	a.touch()
	a.refreshAliases(id)
}

// removeService takes the effective service out, and with it the API's and maintenance's
// checks on it.
func (a *Agent) removeService(id string, old *local) {
	delete(a.services, id)
	a.dirty.removeService(id, old.row.Meta[berth.MetaOwner])
	for _, name := range []string{berth.SourceAPI, sourceMaintenance} {
		s := a.source(name)
		for cid := range s.byService[id] {
			s.deleteCheck(cid)
			a.saved.remove(savedKey(name, cid))
		}
	}
	a.log.Info("service deregistered", "service", old.row.Name, "id", id, "source", old.src.name)
	a.touch()
}

// savedKey is the journal key of a check that is kept there.
func savedKey(source, checkID string) string {
	if source == sourceMaintenance {
		return keyMaintenance + checkID
	}
	return keyCheck + checkID
}

// warnConflict says once that two sources want one ID.
func (a *Agent) warnConflict(id string, winner *source) {
	key := "conflict:" + id
	var loser string
	for _, s := range a.sources {
		if s != winner && winner != nil && s.services[id] != nil {
			loser = s.name
		}
	}
	if loser == "" {
		delete(a.warned, key)
		return
	}
	if a.warned[key] != loser {
		a.warned[key] = loser
		a.log.Warn("two sources want the same service ID; give one of them another ID",
			"id", id, "registered", winner.name, "ignored", loser)
	}
}

// refreshChecks brings the effective checks with these IDs in line with what the sources
// want. a.mu is held.
func (a *Agent) refreshChecks(ids idSet) {
	for id := range ids {
		a.refreshCheck(id)
	}
}

func (a *Agent) refreshCheck(id string) {
	s, w := a.winnerCheck(id)
	old := a.checks[id]
	switch {
	case w == nil && old == nil:
	case w == nil:
		a.removeCheck(id, old)
	case old == nil:
		a.addCheck(id, s, w, nil)
	default:
		svc := a.services[w.def.ServiceID]
		switch {
		case old.owner == ownerOf(svc) && old.src == s && onlyResultDiffers(old.def, w.def):
			old.def = w.def
			a.setResult(old, w.def.Status, w.def.Output)
		case old.owner != ownerOf(svc) || old.src != s || !reflect.DeepEqual(old.def, w.def):
			a.addCheck(id, s, w, old)
		case svc != nil && (old.row.ServiceName != svc.row.Name || !slices.Equal(old.row.ServiceTags, svc.row.Tags)):
			row := *old.row
			row.ServiceName, row.ServiceTags = svc.row.Name, svc.row.Tags
			old.row = &row
			a.dirty.putCheck(id)
			a.touch()
		}
	}
}

// onlyResultDiffers says whether a passive check's source just says something new about it.
func onlyResultDiffers(old, now *berth.CheckDefinition) bool {
	if !old.Passive || !now.Passive || now.Status == "" {
		return false
	}
	x := *old
	x.Status, x.Output = now.Status, now.Output
	return reflect.DeepEqual(&x, now) && (old.Status != now.Status || old.Output != now.Output)
}

// addCheck makes w the effective check. A check of the same owner that was there keeps its
// status; a changed definition restarts its runner.
func (a *Agent) addCheck(id string, s *source, w *wantedCheck, old *probed) {
	svc := a.services[w.def.ServiceID]
	c := &probed{a: a, id: id, src: s, def: w.def, owner: ownerOf(svc), row: a.checkRow(w.def, svc)}
	c.counters = check.NewHysteresis(w.def)
	same := old != nil && old.owner == c.owner
	a.firstStatus(c, old, same)
	if old != nil {
		old.stop()
		a.detach(id, old)
	}
	a.checks[id] = c
	if a.byService[w.def.ServiceID] == nil {
		a.byService[w.def.ServiceID] = idSet{}
	}
	a.byService[w.def.ServiceID].add(id)
	a.start(c, old, same)
	if old == nil || !sameCheck(old.row, c.row, true) {
		a.dirty.putCheck(id)
	}
	a.statusChanged(c)
	a.unhide(w.def.ServiceID)
	a.touch()
}

// detach takes a check out of the indexes.
func (a *Agent) detach(id string, c *probed) {
	delete(a.checks, id)
	delete(a.aliases, id)
	if set := a.byService[c.def.ServiceID]; set != nil {
		delete(set, id)
		if len(set) == 0 {
			delete(a.byService, c.def.ServiceID)
		}
	}
}

func (a *Agent) removeCheck(id string, c *probed) {
	c.stop()
	a.detach(id, c)
	a.dirty.removeCheck(id)
	a.stateDirty.add(id)
	delete(a.states0, id)
	a.unhide(c.def.ServiceID)
	a.refreshAliases(c.def.ServiceID)
	a.touch()
}
