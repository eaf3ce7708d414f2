package httpapi

import (
	"fmt"
	"net/http"
	"strings"

	"berth"
)

// agentHealth is an instance of this host with the worst state among its checks and its node's.
type agentHealth struct {
	AggregatedStatus string
	Service          *agentService
	Checks           []*agentHealthCheck
}

// agentHealthCheck is a check in the shape that only this endpoint has: the definition's members
// are always there and always empty.
type agentHealthCheck struct {
	Node        string
	CheckID     string
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags []string
	Type        string
	ExposedPort int
	Definition  emptyDefinition
	CreateIndex uint64
	ModifyIndex uint64
}

type emptyDefinition struct {
	Interval                       berth.Duration
	Timeout                        berth.Duration
	DeregisterCriticalServiceAfter berth.Duration
	HTTP                           string
	Header                         map[string][]string
	Method                         string
	Body                           string
	TLSServerName                  string
	TLSSkipVerify                  bool
	TCP                            string
	TCPUseTLS                      bool
	UDP                            string
	GRPC                           string
	OSService                      string
	GRPCUseTLS                     bool
}

// localHealth gives an instance with its checks, those of the node last.
func (c *call) localHealth(s *berth.ServiceInstance) *agentHealth {
	h := &agentHealth{Service: newAgentService(s, c.s.cfg.Self.Datacenter)}
	all := c.s.cfg.Agent.Checks()
	var deciding []*berth.Check
	for _, owner := range []string{s.ID, ""} {
		for _, k := range all {
			if k.ServiceID != owner {
				continue
			}
			deciding = append(deciding, k)
			h.Checks = append(h.Checks, &agentHealthCheck{Node: k.Node, CheckID: k.CheckID, Name: k.Name, Status: k.Status, Notes: k.Notes,
				Output: k.Output, ServiceID: k.ServiceID, ServiceName: k.ServiceName, ServiceTags: k.ServiceTags, ExposedPort: k.ExposedPort,
				CreateIndex: k.CreateIndex, ModifyIndex: k.ModifyIndex})
		}
	}
	h.AggregatedStatus = aggregate(deciding)
	return h
}

// aggregate is the worst state: maintenance, critical, warning or passing.
func aggregate(checks []*berth.Check) string {
	for _, k := range checks {
		if k.CheckID == berth.NodeMaintenanceCheckID || strings.HasPrefix(k.CheckID, berth.ServiceMaintenancePrefix) {
			return berth.StatusMaint
		}
	}
	return berth.WorstStatus(checks)
}

// badness orders states.
func badness(status string) int {
	switch status {
	case berth.StatusMaint:
		return 3
	case berth.StatusCritical:
		return 2
	case berth.StatusWarning:
		return 1
	}
	return 0
}

// healthStatus is the HTTP status that stands for a state.
func healthStatus(state string) int {
	switch state {
	case berth.StatusPassing:
		return http.StatusOK
	case berth.StatusWarning:
		return http.StatusTooManyRequests
	}
	return http.StatusServiceUnavailable
}

// answerHealth answers with a state as HTTP status, as the word alone when that was asked for.
func (c *call) answerHealth(status int, reason string, value any) *reply {
	c.w.Header().Set("X-Consul-Reason", reason)
	if c.form.Get("format") == "text" || c.form.Get("format") == "" && strings.HasPrefix(c.r.Header.Get("Accept"), "text/plain") {
		return &reply{status: status, contentType: "text/plain", body: []byte(reason)}
	}
	return &reply{status: status, value: value}
}

// agentHealthByID answers GET /v1/agent/health/service/id/<id>.
func agentHealthByID(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing serviceID")
	}
	s := c.localService(c.tail)
	if s == nil {
		return c.answerHealth(http.StatusNotFound, fmt.Sprintf("ServiceId %s not found", c.tail), &agentHealth{AggregatedStatus: berth.StatusCritical}), nil
	}
	h := c.localHealth(s)
	return c.answerHealth(healthStatus(h.AggregatedStatus), h.AggregatedStatus, h), nil
}

// agentHealthByName answers GET /v1/agent/health/service/name/<name>.
func agentHealthByName(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing service Name")
	}
	found := []*agentHealth{}
	worst := berth.StatusPassing
	for _, s := range c.s.cfg.Agent.Services() {
		if s.Name != c.tail {
			continue
		}
		h := c.localHealth(s)
		found = append(found, h)
		if badness(h.AggregatedStatus) > badness(worst) {
			worst = h.AggregatedStatus
		}
	}
	if len(found) == 0 {
		return c.answerHealth(http.StatusNotFound, fmt.Sprintf("ServiceName %s Not Found", c.tail), found), nil
	}
	return c.answerHealth(healthStatus(worst), worst, found), nil
}
