package agent

import (
	"context"
	"strings"

	"berth"
)

// Forget is told of a catalog deregistration. When it is for a service or a check that this
// agent has, it is dropped here as well, so that the next compare does not bring it back, and
// the answer is true. An API entry is then gone; one of docker or config stays away until its
// container is started anew or the configuration is loaded again.
func (a *Agent) Forget(ctx context.Context, d *berth.Deregistration) bool {
	if !strings.EqualFold(d.Node, a.cfg.Node) || (d.Datacenter != "" && d.Datacenter != a.cfg.Datacenter) {
		return false
	}
	a.mu.Lock()
	ok := !a.closed && a.forget(d)
	r := a.roundFor()
	a.mu.Unlock()
	if !ok {
		return false
	}
	if err := a.saved.commit(); err != nil {
		a.log.Error("deregistration could not be saved, so a restart would bring the entry back",
			"service_id", d.ServiceID, "check", d.CheckID, "err", err)
	}
	a.await(ctx.Done(), r)
	return true
}

func (a *Agent) forget(d *berth.Deregistration) bool {
	switch {
	case d.ServiceID != "":
		svc := a.services[d.ServiceID]
		if svc == nil || (d.Owner != "" && d.Owner != svc.want.owner()) {
			return false
		}
		a.dropService(d.ServiceID)
		return true
	case d.CheckID != "":
		if a.checks[d.CheckID] == nil {
			return false
		}
		a.dropCheck(d.CheckID)
		return true
	}
	return false
}

// dropService takes the effective service out. What the API registered is deleted, and what
// docker or config wants under the same ID is registered in its place; a service of theirs is
// taken out of all sources. a.mu is held.
func (a *Agent) dropService(id string) {
	if api := a.source(berth.SourceAPI); api.services[id] != nil {
		a.deleteAPIService(api, id)
		return
	}
	for _, s := range a.sources {
		if w := s.services[id]; w != nil {
			a.drop(s, keyService+id, w.owner())
		}
	}
	a.refreshService(id)
}

// deleteAPIService takes a service of the API out, with the API's checks on it.
func (a *Agent) deleteAPIService(api *source, id string) {
	delete(api.services, id)
	a.saved.remove(keyService + id)
	touched := idSet{}
	for cid := range api.byService[id] {
		touched.add(cid)
	}
	for cid := range touched {
		api.deleteCheck(cid)
		a.saved.remove(keyCheck + cid)
	}
	a.refreshService(id)
	a.refreshChecks(touched)
}

// dropCheck takes a check out of all sources; a.mu is held.
func (a *Agent) dropCheck(id string) {
	for _, s := range a.sources {
		w := s.checks[id]
		switch {
		case w == nil:
		case s.name == berth.SourceAPI || s.name == sourceMaintenance:
			s.deleteCheck(id)
			a.saved.remove(savedKey(s.name, id))
		default:
			a.drop(s, keyCheck+id, ownerOf(a.services[w.def.ServiceID]))
		}
	}
	a.refreshCheck(id)
}

func (a *Agent) drop(s *source, key, owner string) {
	s.dropped[key] = owner
	if s.name == berth.SourceDocker { // config is loaded anew at the next start
		// A string marshals; the error cannot happen.
		_ = a.saved.set(keyDrop+s.name+"/"+key, owner)
	}
}

// undrop forgets that the service was dropped, for somebody registers it on purpose.
func (a *Agent) undrop(id string, touched idSet) {
	for _, s := range a.sources {
		a.lift(s, keyService+id)
		for cid := range s.byService[id] {
			if a.lift(s, keyCheck+cid) {
				touched.add(cid)
			}
		}
	}
}

func (a *Agent) undropCheck(id string, touched idSet) {
	for _, s := range a.sources {
		if a.lift(s, keyCheck+id) {
			touched.add(id)
		}
	}
}

func (a *Agent) lift(s *source, key string) bool {
	if _, ok := s.dropped[key]; !ok {
		return false
	}
	delete(s.dropped, key)
	a.saved.remove(keyDrop + s.name + "/" + key)
	return true
}

// forgetDrops ends what a source's new set ends: config was loaded anew, or the dropped entry
// has gone or has another owner. a.mu is held.
func (a *Agent) forgetDrops(s *source, touched, touchedChecks idSet) {
	for key, owner := range s.dropped {
		if id, ok := strings.CutPrefix(key, keyService); ok {
			w := s.services[id]
			if s.name == berth.SourceConfig || w == nil || w.owner() != owner {
				a.lift(s, key)
				touched.add(id)
			}
			continue
		}
		id := strings.TrimPrefix(key, keyCheck)
		w := s.checks[id]
		if s.name == berth.SourceConfig || w == nil || s.ownerOf(w) != owner {
			a.lift(s, key)
			touchedChecks.add(id)
		}
	}
}

func (s *source) ownerOf(w *wantedCheck) string {
	if svc := s.services[w.def.ServiceID]; svc != nil {
		return svc.owner()
	}
	return ""
}

// Heed is told what the catalog says was deregistered of this node by hand. What of it this agent
// still wants, for the same owner, is dropped as by Forget; what docker has not said yet that it
// wants is dropped in advance. It returns when that is saved.
func (a *Agent) Heed(gone []berth.Forgotten) {
	a.mu.Lock()
	for _, f := range gone {
		if !a.closed {
			a.heed(f)
		}
	}
	a.mu.Unlock()
	if err := a.saved.commit(); err != nil {
		a.log.Error("deregistrations could not be saved, so a restart would bring the entries back", "err", err)
	}
}

func (a *Agent) heed(f berth.Forgotten) {
	key, owner, known := keyService+f.ServiceID, "", false
	if f.ServiceID != "" {
		svc := a.services[f.ServiceID]
		owner, known = ownerOf(svc), svc != nil
	} else {
		c := a.checks[f.CheckID]
		key, known = keyCheck+f.CheckID, c != nil
		if known {
			owner = ownerOf(a.services[c.def.ServiceID])
		}
	}
	docker := a.source(berth.SourceDocker)
	switch {
	case known && owner != f.Owner: // somebody else's by now
		return
	case known && f.ServiceID != "":
		a.dropService(f.ServiceID)
	case known:
		a.dropCheck(f.CheckID)
	case f.Owner != "" && !docker.spoken:
		a.drop(docker, key, f.Owner)
	default:
		return
	}
	a.log.Info("deregistered in the catalog, will not be registered again until its owner is started anew",
		"service_id", f.ServiceID, "check", f.CheckID)
}
