package agent

import (
	"context"
	"fmt"
	"reflect"

	"berth"
)

// RegisterService takes a service from the API: it is kept over a restart and replaces what
// the API registered under that ID before. Checks registered for it earlier stay, unless
// replaceChecks. It returns when the catalog has the service, or after 2 seconds.
func (a *Agent) RegisterService(ctx context.Context, def *berth.ServiceDefinition, replaceChecks bool) error {
	w, checks, err := a.prepareService(def, berth.SourceAPI)
	if err != nil {
		return err
	}
	r, err := a.putAPIService(w, checks, replaceChecks)
	if err != nil {
		return err
	}
	if err := a.saved.commit(); err != nil {
		return fmt.Errorf("service %q is registered but could not be saved, so a restart would lose it: %w", w.def.ID, err)
	}
	a.await(ctx.Done(), r)
	return nil
}

func (a *Agent) putAPIService(w *wantedService, checks []*wantedCheck, replaceChecks bool) (*round, error) {
	id := w.def.ID
	saved, err := a.saved.encode(keyService+id, w.def)
	if err != nil {
		return nil, err
	}
	savedChecks := make([]record, len(checks))
	for i, c := range checks {
		c.bundled = false
		if savedChecks[i], err = a.saved.encode(keyCheck+c.def.ID, c.def); err != nil {
			return nil, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, berth.ErrClosed
	}
	api := a.source(berth.SourceAPI)
	touched := idSet{}
	if replaceChecks {
		for cid := range api.byService[id] {
			if !hasCheck(checks, cid) {
				api.deleteCheck(cid)
				a.saved.remove(keyCheck + cid)
				touched.add(cid)
			}
		}
	}
	for i, c := range checks {
		if a.wantCheck(api, c.def.ID, c, touched) {
			a.saved.put(savedChecks[i])
		}
	}
	if old := api.services[id]; old == nil || !reflect.DeepEqual(old.def, w.def) {
		api.services[id] = w
		a.saved.put(saved)
	}
	a.undrop(id, touched)
	a.refreshService(id)
	a.refreshChecks(touched)
	return a.roundFor(), nil
}

func hasCheck(checks []*wantedCheck, id string) bool {
	for _, c := range checks {
		if c.def.ID == id {
			return true
		}
	}
	return false
}

// DeregisterService removes a service of whatever source. One that docker or a config file
// wants stays away until its container or that file is started or loaded anew.
func (a *Agent) DeregisterService(ctx context.Context, id string) error {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return berth.ErrClosed
	}
	if a.services[id] == nil {
		a.mu.Unlock()
		return berth.ErrUnknownService
	}
	a.dropService(id)
	r := a.roundFor()
	a.mu.Unlock()
	if err := a.saved.commit(); err != nil {
		return fmt.Errorf("service %q is deregistered but that could not be saved, so a restart would bring it back: %w", id, err)
	}
	a.await(ctx.Done(), r)
	return nil
}

// RegisterCheck takes a check from the API: of the node, or of a service that is registered
// here. It is kept over a restart.
func (a *Agent) RegisterCheck(ctx context.Context, def *berth.CheckDefinition) error {
	w, err := a.prepareCheck(def, berth.SourceAPI)
	if err != nil {
		return err
	}
	id := w.def.ID
	saved, err := a.saved.encode(keyCheck+id, w.def)
	if err != nil {
		return err
	}
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return berth.ErrClosed
	}
	if w.def.ServiceID != "" && a.services[w.def.ServiceID] == nil {
		a.mu.Unlock()
		return berth.ErrUnknownService
	}
	touched := idSet{}
	if a.wantCheck(a.source(berth.SourceAPI), id, w, touched) {
		a.saved.put(saved)
	}
	a.undropCheck(id, touched)
	a.refreshChecks(touched)
	r := a.roundFor()
	a.mu.Unlock()
	if err := a.saved.commit(); err != nil {
		return fmt.Errorf("check %q is registered but could not be saved, so a restart would lose it: %w", id, err)
	}
	a.await(ctx.Done(), r)
	return nil
}

// DeregisterCheck removes a check of whatever source.
func (a *Agent) DeregisterCheck(ctx context.Context, id string) error {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return berth.ErrClosed
	}
	if a.checks[id] == nil {
		a.mu.Unlock()
		return berth.ErrUnknownCheck
	}
	a.dropCheck(id)
	r := a.roundFor()
	a.mu.Unlock()
	if err := a.saved.commit(); err != nil {
		return fmt.Errorf("check %q is deregistered but that could not be saved, so a restart would bring it back: %w", id, err)
	}
	a.await(ctx.Done(), r)
	return nil
}
