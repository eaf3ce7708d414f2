package registrator

import (
	"sort"
	"strings"
	"time"

	"berth"
)

// Explain says for each container what of it is registered and why, or why not. container is a
// name, an ID or a prefix of one; "" means all. It may be called from any goroutine.
func (r *Registrator) Explain(container string) []berth.ContainerReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []berth.ContainerReport{}
	want := strings.TrimPrefix(container, "/")
	exact := false
	for _, rec := range r.state.records {
		exact = exact || rec.name == want
	}
	for id, rec := range r.state.records {
		switch {
		case want == "", rec.name == want, !exact && (strings.HasPrefix(id, want) || strings.HasPrefix(rec.name, want)):
			out = append(out, r.report(rec))
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Name != out[j].Name {
			return out[i].Name < out[j].Name
		}
		return out[i].Container < out[j].Container
	})
	return out
}

func (r *Registrator) report(rec *record) berth.ContainerReport {
	rep := berth.ContainerReport{Container: rec.id, Name: rec.name, State: "unknown", Ports: []berth.PortReport{}}
	c := rec.last
	if c == nil {
		c = rec.up
	}
	if c != nil {
		rep.Image, rep.State, rep.Health = c.image, c.state.text(), c.state.health
	}
	status, why := r.lifecycleTrouble(rec)
	switch rec.phase {
	case phaseUp, phaseKept, phaseRestarting:
		rep.Reason, rep.Detail = rec.built.reason, rec.built.detail
		rep.Network = rec.built.network
		rep.Dropped = append(rep.Dropped, rec.built.dropped...)
		if status != "" && rep.Detail == "" {
			rep.Detail = why
		}
		r.portReports(rec, &rep)
	case phaseDown:
		rep.Reason = ReasonNotRunning
	case phaseUnknown:
		rep.Detail = "not looked at yet"
		rep.Ports = append(rep.Ports, storedPorts(rec.defs)...)
	}
	r.reportTrouble(rec, &rep)
	for i := range rec.defs {
		for _, ch := range rec.defs[i].AllChecks() {
			rep.Checks = append(rep.Checks, ch.ID+" ("+checkKind(ch)+")")
		}
	}
	return rep
}

func checkKind(c *berth.CheckDefinition) string {
	if c.Type != "" {
		return c.Type
	}
	return c.Kind()
}

// reportTrouble adds what keeps the registrator from knowing better.
func (r *Registrator) reportTrouble(rec *record, rep *berth.ContainerReport) {
	add := func(s string) {
		if rep.Detail != "" {
			s = rep.Detail + "; " + s
		}
		rep.Detail = s
	}
	if !rec.flap.IsZero() {
		rep.Reason = ReasonFlapping
		add("restarts too often, registered again at " + rec.flap.UTC().Format(time.RFC3339))
	}
	if rec.lastErr != nil {
		if len(rec.defs) == 0 && rec.phase == phaseUnknown {
			rep.Reason = ReasonError
		}
		add("inspect fails, last known state is kept: " + rec.lastErr.Error())
	}
	if r.state.eng == nil && r.state.lostWhy != nil {
		add("unverified, docker is not connected: " + r.state.lostWhy.Error())
	}
}

// storedPorts reports what docker.json told to be registered. It does not tell the containers' ports.
func storedPorts(defs []berth.ServiceDefinition) []berth.PortReport {
	var out []berth.PortReport
	for i := range defs {
		d := &defs[i]
		out = append(out, berth.PortReport{Port: "-", Service: d.Name, ServiceID: d.ID, Address: hostPort(d.Address, d.Port),
			Tags: d.Tags, Status: berth.StatusPassing, Detail: "as registered before the agent's start"})
	}
	return out
}

func (r *Registrator) portReports(rec *record, rep *berth.ContainerReport) {
	rep.Ports = append(rep.Ports, rec.built.ports...)
	byID := map[string]*berth.ServiceDefinition{}
	for i := range rec.defs {
		byID[rec.defs[i].ID] = &rec.defs[i]
	}
	for i := range rep.Ports {
		p := &rep.Ports[i]
		d := byID[p.ServiceID]
		if p.ServiceID == "" || d == nil {
			continue
		}
		if winner, lost := rec.lost[p.ServiceID]; lost {
			p.Reason, p.Detail = ReasonDuplicate, "container "+winner+" has this service ID"
			continue
		}
		p.Status = berth.StatusPassing
		for _, c := range d.AllChecks() {
			p.Checks = append(p.Checks, c.ID+" ("+checkKind(c)+")")
			if c.Passive && c.Status != berth.StatusPassing {
				p.Status = c.Status
				p.Detail = c.Output
			}
		}
	}
}
