package main

import (
	"fmt"
	"strings"

	"berth"
)

// Reason codes that only the agent can know.
const (
	reasonDeregistered = "deregistered"
	reasonIDTaken      = "id-taken"
	reasonRefused      = "refused"
)

// explainer puts together what the registrator wants of each container and what the agent made
// of it: somebody may have deregistered the instance or registered another one under its ID, and
// active checks run in the agent. It may be used from any goroutine.
type explainer struct {
	wanted interface {
		Explain(container string) []berth.ContainerReport
	}
	local interface {
		Services() []*berth.ServiceInstance
		Checks() []*berth.Check
		Refusal(serviceID string) string
	}
}

func (x explainer) Explain(container string) []berth.ContainerReport {
	reports := x.wanted.Explain(container)
	services := map[string]*berth.ServiceInstance{}
	for _, s := range x.local.Services() {
		services[s.ID] = s
	}
	checks := map[string][]*berth.Check{} // those of the node under ""
	for _, c := range x.local.Checks() {
		checks[c.ServiceID] = append(checks[c.ServiceID], c)
	}
	for i := range reports {
		r := &reports[i]
		for j := range r.Ports {
			p := &r.Ports[j]
			switch {
			case p.Status == "" || p.Reason != "":
			case x.local.Refusal(p.ServiceID) != "":
				p.Status, p.Reason, p.Detail = "", reasonRefused, x.local.Refusal(p.ServiceID)
			default:
				actual(r, p, services[p.ServiceID], checks)
			}
		}
	}
	return reports
}

// actual corrects the report of a port that the registrator wants registered.
func actual(r *berth.ContainerReport, p *berth.PortReport, s *berth.ServiceInstance, checks map[string][]*berth.Check) {
	switch {
	case s == nil:
		p.Status, p.Reason = "", reasonDeregistered
		p.Detail = "taken out by the API or by its critical check; its check's recovery or a new start of the container registers it again"
		return
	case !strings.HasPrefix(r.Container, s.Meta[berth.MetaContainer]) || s.Meta[berth.MetaContainer] == "":
		p.Status, p.Reason = "", reasonIDTaken
		p.Detail = "the API or a configuration file registered this service ID; give one of them another ID"
		return
	}
	own := checks[p.ServiceID]
	all := append(own[:len(own):len(own)], checks[""]...)
	p.Status, p.Checks = berth.WorstStatus(all), nil
	for _, c := range all {
		if c.ServiceID != "" || c.Status != berth.StatusPassing {
			p.Checks = append(p.Checks, checkLine(c))
		}
	}
}

// checkLine is a check with its status, and the first line of what it says if it is in trouble.
func checkLine(c *berth.Check) string {
	line := fmt.Sprintf("%s (%s) is %s", c.CheckID, c.Type, c.Status)
	output, _, _ := strings.Cut(strings.TrimSpace(c.Output), "\n")
	if c.Status == berth.StatusPassing || output == "" {
		return line
	}
	return line + ": " + output
}
