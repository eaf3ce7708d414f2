package httpapi

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"berth"
)

// agentServices answers GET /v1/agent/services.
func agentServices(c *call) (any, error) {
	filter, err := newFilter[agentService](c)
	if err != nil {
		return nil, err
	}
	services := c.s.cfg.Agent.Services()
	out := make(map[string]*agentService, len(services))
	for _, s := range services {
		v := newAgentService(s, c.s.cfg.Self.Datacenter)
		ok, err := filter.match(v)
		if err != nil {
			return nil, err
		}
		if ok {
			out[s.ID] = v
		}
	}
	return out, nil
}

// localService is this agent's instance with an ID, nil when there is none.
func (c *call) localService(id string) *berth.ServiceInstance {
	for _, s := range c.s.cfg.Agent.Services() {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// agentServiceByID answers GET /v1/agent/service/<id>. With hash= it waits until the instance's
// content has another hash, or the instance is gone.
func agentServiceByID(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing service ID")
	}
	var current *agentService
	known := c.form.Get("hash")
	look := func() bool {
		current = nil
		if s := c.localService(c.tail); s != nil {
			current = newAgentService(s, c.s.cfg.Self.Datacenter)
			current.ContentHash = contentHash(current)
		}
		return current == nil || known == "" || current.ContentHash != known
	}
	limit, err := c.wait()
	if err != nil {
		return nil, err
	}
	waitFor(c.ctx, limit, c.s.cfg.Agent.Watch, look)
	if current == nil {
		return nil, httpError(http.StatusNotFound, "unknown service ID: "+c.tail)
	}
	c.w.Header().Set("X-Consul-Contenthash", current.ContentHash)
	return current, nil
}

// contentHash is a fingerprint of all that a client would see of an instance, indexes aside.
func contentHash(s *agentService) string {
	v := *s
	v.CreateIndex, v.ModifyIndex, v.ContentHash = 0, 0, ""
	h := fnv.New64a()
	fmt.Fprintf(h, "%+v", v) // fmt prints maps in the order of their keys
	return strconv.FormatUint(h.Sum64(), 16)
}

// agentServiceRegister answers PUT /v1/agent/service/register.
func agentServiceRegister(c *call) (any, error) {
	var body serviceBody
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	def, err := body.definition()
	if err != nil {
		return nil, err
	}
	if err := checkService(def); err != nil {
		return nil, err
	}
	if err := c.authorize("service", Write, def.Name); err != nil {
		return nil, err
	}
	if def.Token == "" {
		def.Token = c.opts.Token
	}
	v := c.form.Get("replace-existing-checks")
	replace := c.has("replace-existing-checks") && (v == "" || v == "true")
	return nil, agentError(c.s.cfg.Agent.RegisterService(c.ctx, def, replace), def.ID)
}

// checkService refuses what no agent would take.
func checkService(def *berth.ServiceDefinition) error {
	if def.Name == "" {
		return berth.Invalid("Missing service name")
	}
	if anyAddress(def.Address) {
		return berth.Invalid("Invalid service address")
	}
	if w := def.Weights; w != nil && (w.Passing < 1 || w.Passing > maxWeight || w.Warning < 0 || w.Warning > maxWeight) {
		return berth.Invalid(fmt.Sprintf("Invalid Weights: passing must be 1 to %d and warning 0 to %d, got %d and %d", maxWeight, maxWeight, w.Passing, w.Warning))
	}
	if err := checkMeta(def.Meta); err != nil {
		return berth.Invalid("Invalid Service Meta: " + err.Error())
	}
	if def.Kind != "" && def.Kind != "typical" {
		return berth.Invalid(fmt.Sprintf("Validation failed: service kind %q belongs to the service mesh, which is not supported", def.Kind))
	}
	if def.Port < 0 || def.Port > maxPort {
		return berth.Invalid(fmt.Sprintf("Validation failed: port %d is not between 0 and %d", def.Port, maxPort))
	}
	if err := plausiblePorts(def.Name, def.Port, def.TaggedAddresses); err != nil {
		return berth.Invalid("Validation failed: " + err.Error())
	}
	if def.SocketPath != "" && (def.Port != 0 || def.Address != "") {
		return berth.Invalid("Validation failed: SocketPath excludes Address and Port")
	}
	for _, check := range def.AllChecks() {
		if err := checkDefinition(check); err != nil {
			return berth.Invalid("Invalid check: " + err.Error())
		}
		if !knownStatus(check.Status) {
			return berth.Invalid("Status for checks must 'passing', 'warning', 'critical'")
		}
	}
	return nil
}

// Limits of service definitions.
const (
	maxWeight    = 65535
	maxPort      = 65535
	maxMetaPairs = 64
	maxMetaKey   = 128
	maxMetaValue = 512
)

func checkMeta(meta map[string]string) error {
	if len(meta) > maxMetaPairs {
		return fmt.Errorf("%d pairs, at most %d are allowed", len(meta), maxMetaPairs)
	}
	for k, v := range meta {
		switch {
		case k == "":
			return errors.New("key is empty")
		case len(k) > maxMetaKey:
			return fmt.Errorf("key %.20q... is longer than %d characters", k, maxMetaKey)
		case strings.Trim(k, metaKeyChars) != "" && strings.ContainsFunc(k, notMetaKey):
			return fmt.Errorf("key %q contains characters other than letters, digits, - and _", k)
		case strings.HasPrefix(k, "consul-"), strings.HasPrefix(k, berth.MetaPrefix):
			return fmt.Errorf("key %q has a reserved prefix", k)
		case len(v) > maxMetaValue:
			return fmt.Errorf("value of %q is longer than %d characters", k, maxMetaValue)
		}
	}
	return nil
}

const metaKeyChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

func notMetaKey(r rune) bool { return !strings.ContainsRune(metaKeyChars, r) }

// anyAddress tells whether an address is the one that stands for all.
func anyAddress(s string) bool {
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return err == nil && a.IsUnspecified()
}

// agentServiceDeregister answers PUT /v1/agent/service/deregister/<id>.
func agentServiceDeregister(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing service ID")
	}
	return nil, agentError(c.s.cfg.Agent.DeregisterService(c.ctx, c.tail), c.tail)
}

// agentServiceMaintenance answers PUT /v1/agent/service/maintenance/<id>.
func agentServiceMaintenance(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing service ID")
	}
	on, err := c.enable()
	if err != nil {
		return nil, err
	}
	return nil, agentError(c.s.cfg.Agent.ServiceMaintenance(c.tail, on, c.form.Get("reason")), c.tail)
}

// agentError gives the agent's errors the texts that clients know; id is what was asked for.
func agentError(err error, id string) error {
	switch {
	case errors.Is(err, berth.ErrUnknownService):
		return httpError(http.StatusNotFound, fmt.Sprintf("Unknown service ID %q. Ensure that the service ID is passed, not the service name.", id))
	case errors.Is(err, berth.ErrUnknownCheck):
		return httpError(http.StatusNotFound, fmt.Sprintf("Unknown check ID %q. Ensure that the check ID is passed, not the check name.", id))
	case errors.Is(err, berth.ErrNotTTL):
		return berth.Rejected(fmt.Sprintf("CheckID %q does not have associated TTL", id))
	case errors.Is(err, berth.ErrScriptsDisabled):
		return berth.Rejected("Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true")
	}
	return err
}
