package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"berth"
)

type explainCommand struct{ client clientFlags }

func (c *explainCommand) flags(f *flagSet) { f.http(&c.client) }

func (c *explainCommand) run(e *env, args []string) int {
	if len(args) > 1 {
		return e.errorf("Error: name one container, got %d arguments", len(args))
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	container := ""
	if len(args) == 1 {
		container = strings.TrimPrefix(args[0], "/")
	}
	if engineIsGone(e, cl) {
		e.errorf("Docker does not answer this agent: what follows is what it said last. `berth monitor`, or the agent's log, says why.")
	}
	var reports []berth.ContainerReport
	err = cl.get(e.ctx, "/v1/agent/explain", query("container", container), &reports)
	var refused *statusError
	switch {
	case errors.As(err, &refused) && refused.code == 404 && refused.text != "":
		return e.errorf("%s", refused.text)
	case err != nil:
		return e.errorf("Error querying agent: %v", err)
	case len(reports) == 0 && container != "":
		return e.errorf("No container %q: neither its name nor its ID is known to this agent", container)
	case len(reports) == 0:
		return e.nothing("No containers on this host.")
	case container != "":
		for i, r := range reports {
			if i > 0 {
				e.printf("")
			}
			e.explainOne(r)
		}
		return 0
	}
	e.table(explainRows(reports))
	return 0
}

// engineIsGone says whether the agent wants containers and has no engine to ask, as far as its
// metrics tell.
func engineIsGone(e *env, cl *client) bool {
	resp, err := cl.open(e.ctx, http.MethodGet, "/v1/agent/metrics", query("format", "prometheus"), nil)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if lines.Text() == "berth_docker_up 0" {
			return true
		}
	}
	return false
}

// explainRows is one row for each port of each container.
func explainRows(reports []berth.ContainerReport) [][]string {
	rows := [][]string{{"Container", "State", "Port", "Service", "ID", "Address", "Status", "Why"}}
	for _, r := range reports {
		name := cmp.Or(strings.TrimPrefix(r.Name, "/"), shortContainer(r.Container))
		state := containerState(r)
		if len(r.Ports) == 0 || r.Reason != "" {
			rows = append(rows, []string{name, state, "-", "-", "-", "-", "-", why(r.Reason, r.Detail)})
			continue
		}
		for _, p := range r.Ports {
			rows = append(rows, []string{
				name, state, p.Port, cmp.Or(p.Service, "-"), cmp.Or(p.ServiceID, "-"), cmp.Or(p.Address, "-"),
				cmp.Or(p.Status, "-"), portWhy(p),
			})
		}
	}
	return rows
}

// explainOne shows everything about one container.
func (e *env) explainOne(r berth.ContainerReport) {
	rows := [][]string{
		{"Container:", fmt.Sprintf("%s (%s)", cmp.Or(strings.TrimPrefix(r.Name, "/"), "-"), shortContainer(r.Container))},
		{"Image:", r.Image}, {"State:", containerState(r)},
	}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("Network:", r.Network)
	add("Checks:", strings.Join(r.Checks, ", "))
	if r.Reason != "" {
		add("Not registered:", why(r.Reason, r.Detail))
	}
	e.table(rows)
	if len(r.Ports) > 0 {
		e.printf("")
		table := [][]string{{"Port", "Service", "ID", "Address", "Tags", "Status", "Why"}}
		for _, p := range r.Ports {
			table = append(table, []string{
				p.Port, cmp.Or(p.Service, "-"), cmp.Or(p.ServiceID, "-"), cmp.Or(p.Address, "-"),
				cmp.Or(strings.Join(p.Tags, ","), "-"), cmp.Or(p.Status, "-"), portWhy(p),
			})
		}
		e.table(table)
	}
	for _, p := range r.Ports {
		for _, c := range p.Checks {
			e.printf("check of %s: %s", p.Port, c)
		}
	}
	for _, d := range r.Dropped {
		e.printf("not taken: %s", d)
	}
}

// portWhy is the reason why a port is not registered, or what decided its registration.
func portWhy(p berth.PortReport) string {
	var from []string
	for _, k := range slices.Sorted(maps.Keys(p.From)) {
		from = append(from, k+" from "+p.From[k])
	}
	decided := strings.Join(from, ", ")
	switch {
	case p.Reason == "":
		return cmp.Or(decided, p.Detail, "-")
	case decided == "":
		return why(p.Reason, p.Detail)
	}
	return why(p.Reason, p.Detail) + " (" + decided + ")"
}

func why(reason, detail string) string {
	switch {
	case reason == "" && detail == "":
		return "-"
	case detail == "":
		return reason
	case reason == "":
		return detail
	}
	return reason + ": " + detail
}

func containerState(r berth.ContainerReport) string {
	if r.Health != "" && r.Health != "none" {
		return r.State + " (" + r.Health + ")"
	}
	return r.State
}

func shortContainer(id string) string { return id[:min(12, len(id))] }
