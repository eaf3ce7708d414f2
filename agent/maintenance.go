package agent

import (
	"fmt"

	"berth"
)

// ServiceMaintenance puts a service into maintenance mode or takes it out: a critical check
// of its own, kept over a restart.
func (a *Agent) ServiceMaintenance(id string, on bool, reason string) error {
	if reason == "" {
		reason = "Maintenance mode is enabled for this service, but no reason was provided. This is a default message."
	}
	return a.maintain(&berth.CheckDefinition{
		ID: berth.ServiceMaintenancePrefix + id, Name: "Service Maintenance Mode", ServiceID: id, Notes: reason,
	}, on)
}

// NodeMaintenance does the same for the node, and so for all services on it.
func (a *Agent) NodeMaintenance(on bool, reason string) error {
	if reason == "" {
		reason = "Maintenance mode is enabled for this node, but no reason was provided. This is a default message."
	}
	return a.maintain(&berth.CheckDefinition{
		ID: berth.NodeMaintenanceCheckID, Name: "Node Maintenance Mode", Notes: reason,
	}, on)
}

func (a *Agent) maintain(def *berth.CheckDefinition, on bool) error {
	def.Passive, def.Type, def.Status = true, berth.CheckMaintenance, berth.StatusCritical
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		return berth.ErrClosed
	}
	if def.ServiceID != "" && a.services[def.ServiceID] == nil {
		a.mu.Unlock()
		return berth.ErrUnknownService
	}
	s := a.source(sourceMaintenance)
	switch {
	case on:
		if err := a.saved.set(keyMaintenance+def.ID, def); err != nil {
			a.mu.Unlock()
			return err
		}
		a.wantCheck(s, def.ID, &wantedCheck{def: def}, idSet{})
	default:
		s.deleteCheck(def.ID)
		a.saved.remove(keyMaintenance + def.ID)
	}
	a.refreshCheck(def.ID)
	r := a.roundFor()
	a.mu.Unlock()
	a.log.Info("maintenance mode changed", "service_id", def.ServiceID, "enabled", on, "reason", def.Notes)
	if err := a.saved.commit(); err != nil {
		return fmt.Errorf("maintenance mode is changed but could not be saved: %w", err)
	}
	a.await(nil, r)
	return nil
}
