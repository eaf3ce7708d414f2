package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"berth"
)

var autopilotSpecs = []spec{
	{name: "operator autopilot get-config", synopsis: "Show autopilot's settings", make: func() action { return new(autopilotGet) }},
	{name: "operator autopilot set-config", synopsis: "Change autopilot's settings", make: func() action { return &autopilotSet{} }},
	{name: "operator autopilot state", synopsis: "Show the health of the servers", make: func() action { return new(autopilotState) }},
}

const autopilotPath = "/v1/operator/autopilot/configuration"

type autopilotGet struct{ client clientFlags }

func (c *autopilotGet) flags(f *flagSet) { f.server(&c.client) }

func (c *autopilotGet) run(e *env, _ []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	var conf berth.AutopilotConfig
	if err := cl.get(e.ctx, autopilotPath, nil, &conf); err != nil {
		return e.errorf("Error querying Autopilot configuration: %v", err)
	}
	e.printf("CleanupDeadServers = %v", conf.CleanupDeadServers)
	e.printf("LastContactThreshold = %v", conf.LastContactThreshold)
	e.printf("MaxTrailingLogs = %v", conf.MaxTrailingLogs)
	e.printf("MinQuorum = %v", conf.MinQuorum)
	e.printf("ServerStabilizationTime = %v", conf.ServerStabilizationTime)
	e.printf("RedundancyZoneTag = %q", conf.RedundancyZoneTag)
	e.printf("DisableUpgradeMigration = %v", conf.DisableUpgradeMigration)
	e.printf("UpgradeVersionTag = %q", conf.UpgradeVersionTag)
	return 0
}

// autopilotSet changes what its flags say and leaves the rest.
type autopilotSet struct {
	client  clientFlags
	changes []func(*berth.AutopilotConfig)
}

func (c *autopilotSet) flags(f *flagSet) {
	f.http(&c.client)
	change := func(name, usage string, parse func(string) (func(*berth.AutopilotConfig), error)) {
		f.Func(name, usage, func(text string) error {
			do, err := parse(text)
			c.changes = append(c.changes, do)
			return err
		})
	}
	change("cleanup-dead-servers", "true or false: remove failed servers when a new one has taken their place", func(s string) (func(*berth.AutopilotConfig), error) {
		var b bool
		_, err := fmt.Sscan(s, &b)
		return func(a *berth.AutopilotConfig) { a.CleanupDeadServers = b }, err
	})
	change("max-trailing-logs", "most entries a healthy server may be behind", func(s string) (func(*berth.AutopilotConfig), error) {
		var n uint64
		_, err := fmt.Sscan(s, &n)
		return func(a *berth.AutopilotConfig) { a.MaxTrailingLogs = n }, err
	})
	change("min-quorum", "servers that are never removed by clean-up", func(s string) (func(*berth.AutopilotConfig), error) {
		var n uint
		_, err := fmt.Sscan(s, &n)
		return func(a *berth.AutopilotConfig) { a.MinQuorum = n }, err
	})
	change("last-contact-threshold", "longest silence of a healthy server", func(s string) (func(*berth.AutopilotConfig), error) {
		d, err := time.ParseDuration(s)
		return func(a *berth.AutopilotConfig) { a.LastContactThreshold = berth.Duration(d) }, err
	})
	change("server-stabilization-time", "how long a new server must be healthy before it votes", func(s string) (func(*berth.AutopilotConfig), error) {
		d, err := time.ParseDuration(s)
		return func(a *berth.AutopilotConfig) { a.ServerStabilizationTime = berth.Duration(d) }, err
	})
}

func (c *autopilotSet) run(e *env, _ []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	var conf berth.AutopilotConfig
	if err := cl.get(e.ctx, autopilotPath, nil, &conf); err != nil {
		return e.errorf("Error querying Autopilot configuration: %v", err)
	}
	for _, do := range c.changes {
		do(&conf)
	}
	var ok bool
	if err := cl.put(e.ctx, autopilotPath, query("cas", fmt.Sprint(conf.ModifyIndex)), conf, &ok); err != nil {
		return e.errorf("Error setting Autopilot configuration: %v", err)
	}
	if !ok {
		return e.errorf("Configuration could not be atomically updated, please try again")
	}
	e.printf("Configuration updated!")
	return 0
}

type autopilotState struct {
	client clientFlags
	format string
}

func (c *autopilotState) flags(f *flagSet) {
	f.server(&c.client)
	f.StringVar(&c.format, "format", "pretty", "pretty or json")
}

func (c *autopilotState) run(e *env, _ []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	if c.format == "json" {
		var state any
		if err := cl.get(e.ctx, "/v1/operator/autopilot/state", nil, &state); err != nil {
			return e.errorf("Error querying Autopilot state: %v", err)
		}
		e.printf("%s", indented(state))
		return 0
	}
	var state struct {
		Healthy          bool
		FailureTolerance int
		Leader           string
		Voters           []string
		Servers          map[string]struct {
			Name, Address, NodeStatus, SerfStatus, Version, Status string
			Healthy, Leader, Voter                                 bool
			LastContact                                            berth.Duration
			LastTerm, LastIndex                                    uint64
		}
	}
	if err := cl.get(e.ctx, "/v1/operator/autopilot/state", nil, &state); err != nil {
		return e.errorf("Error querying Autopilot state: %v", err)
	}
	e.printf("Healthy:           %v\nFailure Tolerance: %d\nLeader:            %s", state.Healthy, state.FailureTolerance, state.Leader)
	rows := [][]string{{"ID", "Name", "Address", "Version", "Status", "Healthy", "Last Contact", "Last Term", "Last Index"}}
	for _, id := range slices.Sorted(maps.Keys(state.Servers)) {
		s := state.Servers[id]
		rows = append(rows, []string{
			id, s.Name, s.Address, s.Version, s.Status, fmt.Sprint(s.Healthy), s.LastContact.String(), fmt.Sprint(s.LastTerm), fmt.Sprint(s.LastIndex),
		})
	}
	e.printf("")
	e.table(rows)
	return 0
}
