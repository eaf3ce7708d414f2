package main

import (
	"testing"

	"berth"
	"berth/internal/testutil"
)

type wantedPorts []berth.PortReport

func (w wantedPorts) Explain(string) []berth.ContainerReport {
	return []berth.ContainerReport{{Container: "aaaaaaaaaaaa0000", Ports: w}}
}

type localState struct {
	services []*berth.ServiceInstance
	checks   []*berth.Check
	refused  string
}

func (l localState) Refusal(string) string              { return l.refused }
func (l localState) Services() []*berth.ServiceInstance { return l.services }
func (l localState) Checks() []*berth.Check             { return l.checks }

func TestExplainer(t *testing.T) {
	mine := &berth.ServiceInstance{ID: "w", Meta: map[string]string{berth.MetaContainer: "aaaaaaaaaaaa"}}
	http := func(status, output string) *berth.Check {
		return &berth.Check{CheckID: "service:w", ServiceID: "w", Type: "http", Status: status, Output: output}
	}
	other := &berth.Check{CheckID: "service:v", ServiceID: "v", Status: "critical"}
	for name, x := range map[string]struct {
		port           berth.PortReport
		local          localState
		status, reason string
		checks         []string
	}{
		"no check": {
			berth.PortReport{ServiceID: "w", Status: "passing"},
			localState{[]*berth.ServiceInstance{mine}, []*berth.Check{other}, ""}, "passing", "", nil,
		},
		"active check fails": {
			berth.PortReport{ServiceID: "w", Status: "passing"},
			localState{[]*berth.ServiceInstance{mine}, []*berth.Check{http("critical", "refused\nmore")}, ""},
			"critical", "", []string{"service:w (http) is critical: refused"},
		},
		"active check passes": {
			berth.PortReport{ServiceID: "w", Status: "passing"},
			localState{[]*berth.ServiceInstance{mine}, []*berth.Check{http("passing", "OK")}, ""},
			"passing", "", []string{"service:w (http) is passing"},
		},
		"node in maintenance": {
			berth.PortReport{ServiceID: "w", Status: "passing"},
			localState{[]*berth.ServiceInstance{mine}, []*berth.Check{{CheckID: "_node_maintenance", Type: "maintenance", Status: "critical"}}, ""},
			"critical", "", []string{"_node_maintenance (maintenance) is critical"},
		},
		"deregistered": {berth.PortReport{ServiceID: "w", Status: "passing"}, localState{}, "", "deregistered", nil},
		"ID taken by the API": {
			berth.PortReport{ServiceID: "w", Status: "passing"},
			localState{[]*berth.ServiceInstance{{ID: "w"}}, nil, ""}, "", "id-taken", nil,
		},
		"refused by the catalog": {
			berth.PortReport{ServiceID: "w", Status: "passing"},
			localState{[]*berth.ServiceInstance{mine}, nil, "name contains a zero byte"}, "", "refused", nil,
		},
		"ID of another container": {
			berth.PortReport{ServiceID: "w", Reason: "duplicate-id"},
			localState{[]*berth.ServiceInstance{mine}, []*berth.Check{http("passing", "")}, ""}, "", "duplicate-id", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := explainer{wanted: wantedPorts{x.port}, local: x.local}.Explain("")[0].Ports[0]
			testutil.Equal(t, got.Status, x.status)
			testutil.Equal(t, got.Reason, x.reason)
			testutil.Equal(t, got.Checks, x.checks)
		})
	}
}
