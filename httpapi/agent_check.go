package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"

	"berth"
)

// agentChecks answers GET /v1/agent/checks.
func agentChecks(c *call) (any, error) {
	filter, err := newFilter[berth.Check](c)
	if err != nil {
		return nil, err
	}
	checks := c.s.cfg.Agent.Checks()
	out := make(map[string]*berth.Check, len(checks))
	for _, k := range checks {
		v := newCheck(k)
		ok, err := filter.match(v)
		if err != nil {
			return nil, err
		}
		if ok {
			out[k.CheckID] = v
		}
	}
	return out, nil
}

// agentCheckRegister answers PUT /v1/agent/check/register.
func agentCheckRegister(c *call) (any, error) {
	var body checkBody
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	def, err := body.definition()
	if err != nil {
		return nil, err
	}
	if def.Name == "" {
		return nil, berth.Invalid("Missing check name")
	}
	if !knownStatus(def.Status) {
		return nil, berth.Invalid("Bad check status")
	}
	if err := checkDefinition(def); err != nil {
		return nil, berth.Invalid("Invalid check: " + err.Error())
	}
	if err := c.authorize(checkOwner(c, def)); err != nil {
		return nil, err
	}
	if def.Token == "" {
		def.Token = c.opts.Token
	}
	err = c.s.cfg.Agent.RegisterCheck(c.ctx, def)
	if errors.Is(err, berth.ErrUnknownService) {
		return nil, httpError(http.StatusNotFound, fmt.Sprintf("ServiceID %q does not exist", def.ServiceID))
	}
	return nil, agentError(err, def.ID)
}

// checkOwner is what a check's registration changes: its service, or the node.
func checkOwner(c *call, def *berth.CheckDefinition) (resource, verb, name string) {
	if def.ServiceID == "" {
		return "node", Write, c.s.cfg.Self.NodeName
	}
	if s := c.localService(def.ServiceID); s != nil {
		return "service", Write, s.Name
	}
	return "service", Write, def.ServiceID
}

// knownStatus tells whether a check may start with a status; the empty one is critical.
func knownStatus(s string) bool {
	switch s {
	case "", berth.StatusPassing, berth.StatusWarning, berth.StatusCritical:
		return true
	}
	return false
}

// checkDefinition refuses a check whose members contradict one another.
func checkDefinition(d *berth.CheckDefinition) error {
	kind := d.Kind()
	alias := d.AliasNode != "" || d.AliasService != ""
	timed := d.GRPC != "" || d.HTTP != "" || d.TCP != "" || d.UDP != "" || d.H2PING != "" || d.OSService != "" || d.DockerContainerID != "" || len(d.ScriptArgs) > 0
	switch {
	case d.Interval > 0 && d.TTL > 0:
		return errors.New("Interval and TTL cannot both be specified") //nolint:staticcheck // clients match this text
	case timed && d.Interval <= 0:
		return errors.New("Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks") //nolint:staticcheck // clients match this text
	case alias && d.Interval > 0:
		return errors.New("Interval cannot be set for Alias checks") //nolint:staticcheck // clients match this text
	case alias && d.TTL > 0:
		return errors.New("TTL must be not be set for Alias checks") //nolint:staticcheck // clients match this text
	case kind == "" || !timed && !alias && d.TTL <= 0:
		return errors.New("TTL must be > 0 for TTL checks") //nolint:staticcheck // clients match this text
	case d.DockerContainerID != "" && len(d.ScriptArgs) == 0 && kind == berth.CheckDocker:
		return errors.New("a Docker check needs ScriptArgs, the command to run in the container")
	case d.OutputMaxSize < 0:
		return errors.New("MaxOutputMaxSize must be positive") //nolint:staticcheck // clients match this text
	case d.FailuresBeforeWarning > d.FailuresBeforeCritical:
		return errors.New("FailuresBeforeWarning can't be higher than FailuresBeforeCritical") //nolint:staticcheck // clients match this text
	case d.Timeout < 0 || d.SuccessBeforePassing < 0 || d.FailuresBeforeWarning < 0 || d.FailuresBeforeCritical < 0 || d.DeregisterCriticalServiceAfter < 0:
		return errors.New("durations and thresholds cannot be negative")
	}
	return nil
}

// agentCheckDeregister answers PUT /v1/agent/check/deregister/<id>.
func agentCheckDeregister(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing check ID")
	}
	return nil, agentError(c.s.cfg.Agent.DeregisterCheck(c.ctx, c.tail), c.tail)
}

// agentCheckPass answers PUT /v1/agent/check/pass/<id>.
func agentCheckPass(c *call) (any, error) {
	return c.updateTTL(berth.StatusPassing, c.form.Get("note"))
}

// agentCheckWarn answers PUT /v1/agent/check/warn/<id>.
func agentCheckWarn(c *call) (any, error) {
	return c.updateTTL(berth.StatusWarning, c.form.Get("note"))
}

// agentCheckFail answers PUT /v1/agent/check/fail/<id>.
func agentCheckFail(c *call) (any, error) {
	return c.updateTTL(berth.StatusCritical, c.form.Get("note"))
}

// agentCheckUpdate answers PUT /v1/agent/check/update/<id>.
func agentCheckUpdate(c *call) (any, error) {
	var body struct{ Status, Output string }
	raw, err := c.body()
	if err != nil {
		return nil, err
	}
	// The output is what some program wrote: bytes that are not UTF-8 are no reason to let the check expire.
	if err := decodeStrict(bytes.ToValidUTF8(raw, []byte("\uFFFD")), &body); err != nil {
		return nil, berth.Invalid(decodeFailed + err.Error())
	}
	if body.Status == "" || !knownStatus(body.Status) {
		return nil, berth.Invalid(fmt.Sprintf("Invalid check status: '%s'", body.Status))
	}
	return c.updateTTL(body.Status, body.Output)
}

func (c *call) updateTTL(status, output string) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing check ID")
	}
	return nil, agentError(c.s.cfg.Agent.UpdateTTL(c.tail, status, output), c.tail)
}
