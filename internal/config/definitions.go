package config

import (
	"cmp"
	"fmt"
	"time"

	"berth"
)

func (b *builder) definitions() {
	services := b.serviceDefinitions()
	b.checkDefinitions(services)
	b.watchDefinitions()
}

// serviceDefinitions gives the IDs of the services.
func (b *builder) serviceDefinitions() map[string]bool {
	d := &b.cfg.Definitions
	ids, checks := map[string]bool{}, map[string]bool{}
	for i, s := range b.file.Services {
		def, err := s.definition()
		if err != nil {
			b.fail("services[%d] %q: %v", i, val(s.Name), err)
			continue
		}
		if ids[def.ID] {
			b.fail("services[%d] %q: another service has the ID %q: give each its own id", i, def.Name, def.ID)
		}
		ids[def.ID] = true
		for _, c := range def.Checks {
			b.noteCheckID(checks, c.ID, fmt.Sprintf("services[%d] %q", i, def.Name))
		}
		d.Services = append(d.Services, def)
	}
	for i, c := range b.file.Checks {
		if id := cmp.Or(val(c.ID), val(c.Name)); checks[id] {
			b.noteCheckID(checks, id, fmt.Sprintf("checks[%d]", i))
		}
	}
	return ids
}

// noteCheckID warns of an ID that two checks were given: Consul takes such files.
func (b *builder) noteCheckID(seen map[string]bool, id, where string) {
	if id != "" && seen[id] {
		b.warn("%s: another check has the ID %q, and only one of them counts: give each its own id", where, id)
	}
	seen[id] = true
}

func (b *builder) checkDefinitions(services map[string]bool) {
	d, ids := &b.cfg.Definitions, map[string]bool{}
	for i, c := range b.file.Checks {
		def, err := c.definition()
		if err == nil && def.Name == "" {
			err = fmt.Errorf("name is missing")
		}
		if err != nil {
			b.fail("checks[%d] %q: %v", i, val(c.Name), err)
			continue
		}
		id := cmp.Or(def.ID, def.Name)
		if ids[id] {
			b.fail("checks[%d]: another check has the ID %q: give each its own id", i, id)
		}
		ids[id] = true
		if def.ServiceID != "" && !services[def.ServiceID] {
			b.warn("checks[%d] %q: no service of the configuration has the ID %q: the check waits until one is registered", i, def.Name, def.ServiceID)
		}
		d.Checks = append(d.Checks, def)
	}
}

func (b *builder) watchDefinitions() {
	d := &b.cfg.Definitions
	for i, m := range b.file.Watches {
		if t := fmt.Sprint(m["type"]); t == "connect_roots" || t == "connect_leaf" {
			b.warn("watches[%d] is ignored: type %s: there is no service mesh", i, t)
			continue
		}
		w, err := ParseWatch(m)
		if err != nil {
			b.fail("watches[%d]: %v", i, err)
			continue
		}
		d.Watches = append(d.Watches, w)
	}
}

// definition is the stanza as the agent takes it.
func (s *Service) definition() (berth.ServiceDefinition, error) {
	d := berth.ServiceDefinition{
		Kind: val(s.Kind), ID: cmp.Or(val(s.ID), val(s.Name)), Name: val(s.Name), Tags: s.Tags, Address: val(s.Address),
		Meta: s.Meta, Port: val(s.Port), SocketPath: val(s.SocketPath), EnableTagOverride: val(s.EnableTagOverride),
		Token: val(s.Token),
	}
	switch {
	case d.Name == "":
		return d, fmt.Errorf("name is missing")
	case d.Kind != "":
		return d, fmt.Errorf("kind %q belongs to the service mesh, which there is none of: remove it", d.Kind)
	case d.Port < 0 || d.Port > 65535:
		return d, fmt.Errorf("port %d is not within 0 to 65535", d.Port)
	case d.Address == "0.0.0.0" || d.Address == "::":
		return d, fmt.Errorf("address %s is not one that others can reach", d.Address)
	case d.SocketPath != "" && (d.Port != 0 || d.Address != ""):
		return d, fmt.Errorf("socket_path excludes address and port")
	}
	if s.Weights != nil {
		d.Weights = &berth.Weights{Passing: or(s.Weights.Passing, 1), Warning: or(s.Weights.Warning, 1)}
		if w := d.Weights; w.Passing < 1 || w.Passing > 65535 || w.Warning < 0 || w.Warning > 65535 {
			return d, fmt.Errorf("weights: passing must be within 1 to 65535, warning within 0 to 65535")
		}
	}
	for tag, a := range s.TaggedAddresses {
		if d.TaggedAddresses == nil {
			d.TaggedAddresses = map[string]berth.ServiceAddress{}
		}
		d.TaggedAddresses[tag] = berth.ServiceAddress{Address: val(a.Address), Port: val(a.Port)}
	}
	checks := s.Checks
	if s.Check != nil {
		checks = append([]Check{*s.Check}, checks...)
	}
	for i, c := range checks {
		def, err := c.definition()
		if err != nil {
			return d, fmt.Errorf("checks[%d]: %w", i, err)
		}
		d.Checks = append(d.Checks, &def)
	}
	return d, nil
}

// definition is the stanza as the agent takes it.
func (c *Check) definition() (berth.CheckDefinition, error) {
	d := berth.CheckDefinition{
		ID: val(c.ID), Name: val(c.Name), Notes: val(c.Notes), ServiceID: val(c.ServiceID), Token: val(c.Token),
		Status: val(c.Status), SuccessBeforePassing: val(c.Successes), FailuresBeforeWarning: val(c.Warnings),
		FailuresBeforeCritical: val(c.Failures),
		CheckTarget: berth.CheckTarget{
			HTTP: val(c.HTTP), Header: c.Header, Method: val(c.Method), Body: val(c.Body),
			DisableRedirects: val(c.DisableRedirects), TLSServerName: val(c.TLSServerName), TLSSkipVerify: val(c.TLSSkipVerify),
			TCP: val(c.TCP), TCPUseTLS: val(c.TCPUseTLS), UDP: val(c.UDP), H2PING: val(c.H2PING),
			H2PingUseTLS: val(c.H2PING) != "" && or(c.H2PingUseTLS, true), OSService: val(c.OSService),
			GRPC: val(c.GRPC), GRPCUseTLS: val(c.GRPCUseTLS), DockerContainerID: val(c.DockerContainerID),
			Shell: val(c.Shell), ScriptArgs: c.Args, AliasNode: val(c.AliasNode), AliasService: val(c.AliasService),
			TTL: berth.Duration(val(c.TTL)), Interval: berth.Duration(val(c.Interval)), Timeout: berth.Duration(val(c.Timeout)),
			DeregisterCriticalServiceAfter: berth.Duration(val(c.Deregister)), OutputMaxSize: val(c.OutputMaxSize),
		},
	}
	return d, checkError(&d)
}

// checkError says what is wrong with a check, in the words of Consul's agent where it has some.
func checkError(d *berth.CheckDefinition) error {
	kind := d.Kind()
	interval, ttl := d.Interval.D(), d.TTL.D()
	switch d.Status {
	case "", berth.StatusPassing, berth.StatusWarning, berth.StatusCritical:
	default:
		return fmt.Errorf("status %q: use passing, warning or critical", d.Status)
	}
	switch {
	case interval < 0 || ttl < 0 || d.Timeout < 0 || d.DeregisterCriticalServiceAfter < 0:
		return fmt.Errorf("a duration is negative")
	case interval > 0 && ttl > 0:
		//lint:ignore ST1005 as Consul says it
		return fmt.Errorf("Interval and TTL cannot both be specified")
	case kind == "":
		//lint:ignore ST1005 as Consul says it
		return fmt.Errorf("TTL must be > 0 for TTL checks; or give one of args, http, tcp, udp, grpc, h2ping, alias_service")
	case kind == berth.CheckAlias && interval > 0:
		//lint:ignore ST1005 as Consul says it
		return fmt.Errorf("Interval cannot be set for Alias checks")
	case kind != berth.CheckAlias && kind != berth.CheckTTL && interval <= 0:
		//lint:ignore ST1005 as Consul says it
		return fmt.Errorf("Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks")
	case kind == berth.CheckDocker && len(d.ScriptArgs) == 0:
		return fmt.Errorf("docker_container_id needs args: the command to run in the container")
	case d.OutputMaxSize < 0:
		return fmt.Errorf("output_max_size must be positive")
	case d.FailuresBeforeWarning > d.FailuresBeforeCritical && d.FailuresBeforeCritical > 0:
		return fmt.Errorf("failures_before_warning cannot be higher than failures_before_critical")
	}
	return nil
}

// How long one run of a watch's handler may take.
const (
	defaultCommandTimeout = time.Hour
	defaultPostTimeout    = 10 * time.Second
)
