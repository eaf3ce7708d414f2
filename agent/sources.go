package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"berth"
)

// sourceMaintenance is the agent's own source: the checks of maintenance mode.
const sourceMaintenance = "maintenance"

// source is what one source desires. A service ID or check ID wanted by several sources goes
// to the one that ranks highest.
type source struct {
	name      string
	rank      int
	spoken    bool // Replace was called
	services  map[string]*wantedService
	checks    map[string]*wantedCheck
	byService map[string]idSet  // service ID -> IDs in checks
	dropped   map[string]string // "service:<id>" or "check:<id>" -> owner, see Forget
}

// wantedService is a valid, completed definition. It is never changed.
type wantedService struct {
	def *berth.ServiceDefinition
	row *berth.ServiceInstance
}

func (w *wantedService) owner() string { return w.row.Meta[berth.MetaOwner] }

// wantedCheck is a valid, completed definition. It is never changed.
type wantedCheck struct {
	def     *berth.CheckDefinition
	bundled bool // came inside a service definition: it counts only while that one does
}

func rankOf(name string) int {
	switch name {
	case sourceMaintenance:
		return 4
	case berth.SourceAPI:
		return 3
	case berth.SourceConfig:
		return 2
	case berth.SourceDocker:
		return 1
	}
	return 0
}

// source finds or makes the named source; a.mu is held.
func (a *Agent) source(name string) *source {
	for _, s := range a.sources {
		if s.name == name {
			return s
		}
	}
	s := &source{
		name: name, rank: rankOf(name),
		services:  map[string]*wantedService{},
		checks:    map[string]*wantedCheck{},
		byService: map[string]idSet{},
		dropped:   map[string]string{},
	}
	a.sources = append(a.sources, s)
	slices.SortFunc(a.sources, func(x, y *source) int {
		if x.rank != y.rank {
			return y.rank - x.rank
		}
		return strings.Compare(x.name, y.name)
	})
	return s
}

func (s *source) setCheck(id string, w *wantedCheck) {
	s.deleteCheck(id)
	s.checks[id] = w
	if sid := w.def.ServiceID; sid != "" {
		if s.byService[sid] == nil {
			s.byService[sid] = idSet{}
		}
		s.byService[sid].add(id)
	}
}

func (s *source) deleteCheck(id string) {
	w := s.checks[id]
	if w == nil {
		return
	}
	delete(s.checks, id)
	if set := s.byService[w.def.ServiceID]; set != nil {
		delete(set, id)
		if len(set) == 0 {
			delete(s.byService, w.def.ServiceID)
		}
	}
}

// isDropped says whether the entry was dropped by Forget while owner owned it.
func (s *source) isDropped(key, owner string) bool {
	was, ok := s.dropped[key]
	return ok && was == owner
}

// Replace makes defs the complete set of services that source wants on this host. It changes
// memory only and pokes the sync loop. Definitions that are not valid are left out and named
// in the error, or for docker, whose containers' authors nobody can ask, in the log, once; the
// others are taken. The agent keeps defs: they must not be changed later.
func (a *Agent) Replace(source string, defs []berth.ServiceDefinition) error {
	if err := replaceable(source); err != nil {
		return err
	}
	var errs []error
	services := make(map[string]*wantedService, len(defs))
	checks := map[string]*wantedCheck{}
	invalid := map[string]string{}
	for i := range defs {
		w, cs, err := a.prepareService(&defs[i], source)
		if err != nil {
			invalid[serviceLabel(&defs[i])] = err.Error()
			errs = append(errs, fmt.Errorf("service %q of %s: %w", serviceLabel(&defs[i]), source, err))
			continue
		}
		if services[w.def.ID] != nil {
			errs = append(errs, fmt.Errorf("service ID %q of %s is given twice; the last one counts", w.def.ID, source))
		}
		services[w.def.ID] = w
		for _, c := range cs {
			checks[c.def.ID] = c
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return berth.ErrClosed
	}
	a.replaceSet(a.source(source), services, checks)
	err := errors.Join(errs...)
	if source == berth.SourceDocker {
		a.invalid = invalid
		a.warnInvalid(source, err)
		return nil
	}
	return err
}

// Refusal says why the service with this ID that a container wants is not in the catalog: its
// definition is not valid, or the catalog refused it. "" when it is there or on its way.
func (a *Agent) Refusal(id string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if why := a.invalid[id]; why != "" {
		return why
	}
	return a.warned["service "+id]
}

// warnInvalid logs what is wrong with a source's set unless that was the last thing said.
func (a *Agent) warnInvalid(source string, err error) {
	key := "invalid:" + source
	if err == nil {
		delete(a.warned, key)
		return
	}
	if text := err.Error(); a.warned[key] != text {
		a.warned[key] = text
		first, rest, _ := strings.Cut(text, "\n")
		args := []any{"source", source, "err", first}
		if rest != "" {
			args = append(args, "more", 1+strings.Count(rest, "\n"))
		}
		a.log.Warn("definitions are left out", args...)
	}
}

// ReplaceChecks makes defs the complete set of checks that source wants besides those in its
// service definitions: checks of the node, or of a service (ServiceID) of any source.
func (a *Agent) ReplaceChecks(source string, defs []berth.CheckDefinition) error {
	if err := replaceable(source); err != nil {
		return err
	}
	var errs []error
	checks := make(map[string]*wantedCheck, len(defs))
	for i := range defs {
		w, err := a.prepareCheck(&defs[i], source)
		if err != nil {
			errs = append(errs, fmt.Errorf("check %q of %s: %w", defs[i].Name, source, err))
			continue
		}
		checks[w.def.ID] = w
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return berth.ErrClosed
	}
	s := a.source(source)
	touched := idSet{}
	for id, w := range s.checks {
		if !w.bundled && checks[id] == nil {
			s.deleteCheck(id)
			touched.add(id)
		}
	}
	for id, w := range checks {
		a.wantCheck(s, id, w, touched)
	}
	a.refreshChecks(touched)
	return errors.Join(errs...)
}

// Validate says what Replace and ReplaceChecks would refuse of a source's definitions. Nothing is
// changed.
func (a *Agent) Validate(source string, services []berth.ServiceDefinition, checks []berth.CheckDefinition) error {
	quiet := &Agent{cfg: a.cfg, log: slog.New(slog.DiscardHandler)} // what is only mended is told when it is applied
	var errs []error
	for i := range services {
		if _, _, err := quiet.prepareService(&services[i], source); err != nil {
			errs = append(errs, fmt.Errorf("service %q of %s: %w", serviceLabel(&services[i]), source, err))
		}
	}
	for i := range checks {
		if _, err := quiet.prepareCheck(&checks[i], source); err != nil {
			errs = append(errs, fmt.Errorf("check %q of %s: %w", checks[i].Name, source, err))
		}
	}
	return errors.Join(errs...)
}

// Validate is Agent.Validate for an agent that would be made of cfg.
func Validate(cfg Config, source string, services []berth.ServiceDefinition, checks []berth.CheckDefinition) error {
	return (&Agent{cfg: cfg}).Validate(source, services, checks)
}

func replaceable(source string) error {
	switch source {
	case "", berth.SourceAPI, sourceMaintenance:
		return fmt.Errorf("source %q cannot be replaced as a set", source)
	}
	return nil
}

func serviceLabel(d *berth.ServiceDefinition) string {
	if d.ID != "" {
		return d.ID
	}
	return d.Name
}

// replaceSet gives s its new services and bundled checks; a.mu is held.
func (a *Agent) replaceSet(s *source, services map[string]*wantedService, checks map[string]*wantedCheck) {
	if !s.spoken { // what it left in the catalog before this start can be told from what it wants now
		s.spoken, a.needFull = true, true
		signal(a.wake)
	}
	touched, touchedChecks := idSet{}, idSet{}
	for id := range s.services {
		if services[id] == nil {
			delete(s.services, id)
			touched.add(id)
		}
	}
	for id, w := range services {
		old := s.services[id]
		if old == nil || !reflect.DeepEqual(old.def, w.def) {
			s.services[id] = w
			touched.add(id)
		}
	}
	for id, w := range s.checks {
		if w.bundled && checks[id] == nil {
			s.deleteCheck(id)
			touchedChecks.add(id)
		}
	}
	for id, w := range checks {
		a.wantCheck(s, id, w, touchedChecks)
	}
	a.forgetDrops(s, touched, touchedChecks)
	if s.name == berth.SourceConfig {
		a.configOverAPI(s, touched, touchedChecks)
	}
	a.refreshServices(touched)
	a.refreshChecks(touchedChecks)
	if a.saved.pending() {
		signal(a.flush)
	}
}

// wantCheck puts w into s, unless it is there already: then the answer is false. a.mu is held.
func (a *Agent) wantCheck(s *source, id string, w *wantedCheck, touched idSet) bool {
	if old := s.checks[id]; old != nil && old.bundled == w.bundled && reflect.DeepEqual(old.def, w.def) {
		return false
	}
	s.setCheck(id, w)
	touched.add(id)
	return true
}

// configOverAPI drops what came by the API under an ID that config now has: whoever edited a
// file last and loaded it means it. a.mu is held.
func (a *Agent) configOverAPI(s *source, touched, touchedChecks idSet) {
	api := a.source(berth.SourceAPI)
	for id := range s.services {
		if api.services[id] != nil {
			delete(api.services, id)
			a.saved.remove(keyService + id)
			touched.add(id)
		}
	}
	for id := range s.checks {
		if api.checks[id] != nil {
			api.deleteCheck(id)
			a.saved.remove(keyCheck + id)
			touchedChecks.add(id)
		}
	}
}
