package httpapi

import (
	"fmt"
	"maps"
	"runtime"
	"strconv"

	"berth"
)

// Self is what this agent tells about itself.
type Self struct {
	NodeName          string
	NodeID            string
	Datacenter        string
	PrimaryDatacenter string
	Server            bool
	Version           string // "1.21.4"
	Revision          string
	BuildDate         string // RFC 3339
	NodeMeta          map[string]string
	DebugConfig       any // the running configuration without its secrets, for people
}

// agentSelf answers GET /v1/agent/self.
func agentSelf(c *call) (any, error) {
	self := &c.s.cfg.Self
	type config struct {
		Datacenter        string
		PrimaryDatacenter string
		NodeName          string
		NodeID            string
		Revision          string
		Server            bool
		Version           string
		BuildDate         string
	}
	debug := self.DebugConfig
	if debug == nil {
		debug = struct{}{}
	}
	meta := maps.Clone(dict(self.NodeMeta))
	meta["consul-network-segment"] = ""
	meta[berth.MetaNodeVersion] = self.Version
	return struct {
		Config      config
		DebugConfig any
		Coord       *berth.Coordinate
		Member      berth.Member
		Stats       map[string]map[string]string
		Meta        map[string]string
	}{
		Config: config{Datacenter: self.Datacenter, PrimaryDatacenter: self.PrimaryDatacenter, NodeName: self.NodeName, NodeID: self.NodeID,
			Revision: self.Revision, Server: self.Server, Version: self.Version, BuildDate: self.BuildDate},
		DebugConfig: debug,
		Coord:       c.s.cfg.Store.Coordinate(),
		Member:      c.s.cfg.Store.LocalMember(),
		Stats:       c.stats(),
		Meta:        meta,
	}, nil
}

// stats joins the store's figures with those of the agent and the runtime.
func (c *call) stats() map[string]map[string]string {
	self := &c.s.cfg.Self
	out := make(map[string]map[string]string)
	maps.Copy(out, c.s.cfg.Store.Stats())
	out["runtime"] = map[string]string{
		"arch":       runtime.GOARCH,
		"cpu_count":  strconv.Itoa(runtime.NumCPU()),
		"goroutines": strconv.Itoa(runtime.NumGoroutine()),
		"max_procs":  strconv.Itoa(runtime.GOMAXPROCS(0)),
		"os":         runtime.GOOS,
		"version":    runtime.Version(),
	}
	out["build"] = map[string]string{"revision": self.Revision[:min(8, len(self.Revision))], "version": self.Version, "version_metadata": "", "prerelease": ""}
	checks := c.s.cfg.Agent.Checks()
	ttls := 0
	for _, k := range checks {
		if k.Type == berth.CheckTTL {
			ttls++
		}
	}
	out["agent"] = map[string]string{
		"check_monitors": strconv.Itoa(len(checks) - ttls),
		"check_ttls":     strconv.Itoa(ttls),
		"checks":         strconv.Itoa(len(checks)),
		"services":       strconv.Itoa(len(c.s.cfg.Agent.Services())),
	}
	return out
}

// agentVersion answers GET /v1/agent/version.
func agentVersion(c *call) (any, error) {
	self := &c.s.cfg.Self
	return struct{ SHA, BuildDate, HumanVersion, FIPS string }{self.Revision, self.BuildDate, self.Version, ""}, nil
}

// agentMembers answers GET /v1/agent/members.
func agentMembers(c *call) (any, error) {
	wan := c.form.Get("wan") != ""
	switch segment := c.form.Get("segment"); {
	case segment != "" && segment != "_all" && wan:
		return nil, berth.Invalid("Cannot provide a segment with wan=true")
	case segment != "" && segment != "_all":
		return nil, berth.Rejected(fmt.Sprintf("Segment %q does not exist: network segments are a Consul Enterprise feature", segment))
	}
	filter, err := newFilter[berth.Member](c)
	if err != nil {
		return nil, err
	}
	members := c.s.cfg.Store.Members(wan)
	out := make([]*berth.Member, len(members))
	for i := range members {
		out[i] = &members[i]
		out[i].Tags = dict(out[i].Tags)
	}
	return filter.apply(out)
}

// agentMaintenance answers PUT /v1/agent/maintenance.
func agentMaintenance(c *call) (any, error) {
	on, err := c.enable()
	if err != nil {
		return nil, err
	}
	return nil, c.s.cfg.Agent.NodeMaintenance(on, c.form.Get("reason"))
}

// enable reads the parameter that switches maintenance mode.
func (c *call) enable() (bool, error) {
	if !c.has("enable") {
		return false, berth.Invalid("Missing value for enable")
	}
	v := c.form.Get("enable")
	on, err := strconv.ParseBool(v)
	if err != nil {
		return false, berth.Invalid(fmt.Sprintf("Invalid value for enable: %q", v))
	}
	return on, nil
}
