package agent

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"berth"
)

// scriptsError is what Consul answers for script checks that are not enabled.
type scriptsError struct{ *berth.InvalidError }

func (e scriptsError) Is(target error) bool { return target == berth.ErrScriptsDisabled }
func (e scriptsError) Unwrap() error        { return e.InvalidError }

const (
	scriptsRemote = "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true"
	scriptsLocal  = "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or 'enable_local_script_checks' to true"
)

// Limits of what clients may register.
const (
	maxMetaPairs      = 64
	maxMetaKeyBytes   = 128
	maxMetaValueBytes = 512
	maxWeight         = 65535
	minInterval       = time.Second
	maxOutput         = 1 << 20 // bytes
)

// prepareService checks a definition and completes it, in a copy.
func (a *Agent) prepareService(in *berth.ServiceDefinition, source string) (*wantedService, []*wantedCheck, error) {
	def := *in
	if def.Name == "" {
		return nil, nil, berth.Invalid("Missing service name")
	}
	if def.ID == "" {
		def.ID = def.Name
	}
	for _, text := range append([]string{def.Name, def.ID, def.Address}, def.Tags...) {
		if strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
			return nil, nil, berth.Invalid(fmt.Sprintf("Service name, ID, address and tags must be UTF-8 without zero bytes: %q", text))
		}
	}
	all := def.AllChecks()
	for _, c := range all {
		if !validStatus(c.Status) {
			return nil, nil, berth.Invalid("Status for checks must 'passing', 'warning', 'critical'")
		}
	}
	if err := validateService(&def, source); err != nil {
		return nil, nil, err
	}
	checks := make([]*wantedCheck, 0, len(all))
	def.Check, def.Checks = nil, nil
	for i, c := range all {
		w, err := a.prepareServiceCheck(&def, c, i, len(all), source)
		if err != nil {
			return nil, nil, err
		}
		checks = append(checks, w)
	}
	return &wantedService{def: &def, row: a.serviceRow(&def)}, checks, nil
}

func validateService(def *berth.ServiceDefinition, source string) error {
	switch strings.Trim(def.Address, "[]") {
	case "0.0.0.0", "::":
		return berth.Invalid("Invalid service address")
	}
	if err := validateWeights(def.Weights); err != "" {
		return berth.Invalid("Invalid Weights: " + err)
	}
	if err := validateMeta(def.Meta, source); err != "" {
		return berth.Invalid("Invalid Service Meta: " + err)
	}
	if def.Port < 0 || def.Port > 65535 {
		return berth.Invalid(fmt.Sprintf("Validation failed: service %q has port %d; use 0 to 65535", def.ID, def.Port))
	}
	if def.SocketPath != "" && (def.Address != "" || def.Port != 0) {
		return berth.Invalid(fmt.Sprintf("Validation failed: service %q has a SocketPath and an Address or Port; use one or the other", def.ID))
	}
	if def.Kind != "" {
		return berth.Invalid(fmt.Sprintf("Validation failed: service kind %q is of the service mesh, which is not supported; leave Kind empty", def.Kind))
	}
	return nil
}

func validateWeights(w *berth.Weights) string {
	switch {
	case w == nil:
		return ""
	case w.Passing < 1:
		return "Passing must be greater than 0"
	case w.Warning < 0:
		return "Warning must be greater or equal than 0"
	case w.Passing > maxWeight || w.Warning > maxWeight:
		return "DNS Weight must be between 0 and 65535"
	}
	return ""
}

func validateMeta(meta map[string]string, source string) string {
	own := source == berth.SourceDocker // registrator adds its own keys
	if len(meta) > maxMetaPairs {
		return fmt.Sprintf("Node metadata cannot contain more than %d key/value pairs", maxMetaPairs)
	}
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		if text := validateMetaPair(k, meta[k], own); text != "" {
			return fmt.Sprintf("Couldn't load metadata pair (%q, %q): %s", k, meta[k], text)
		}
	}
	return ""
}

func validateMetaPair(key, value string, own bool) string {
	switch {
	case key == "":
		return "Key cannot be blank"
	case strings.ContainsFunc(key, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}):
		return "Key contains invalid characters"
	case len(key) > maxMetaKeyBytes:
		return fmt.Sprintf("Key is too long (limit: %d characters)", maxMetaKeyBytes)
	case strings.HasPrefix(key, "consul-"):
		return `Key prefix "consul-" is reserved for internal use`
	case !own && strings.HasPrefix(key, berth.MetaPrefix):
		return fmt.Sprintf("Key prefix %q is reserved for internal use", berth.MetaPrefix)
	case len(value) > maxMetaValueBytes:
		return fmt.Sprintf("Value is too long (limit: %d characters)", maxMetaValueBytes)
	}
	return ""
}

// serviceRow is the catalog's row of a definition.
func (a *Agent) serviceRow(def *berth.ServiceDefinition) *berth.ServiceInstance {
	row := &berth.ServiceInstance{
		Node: a.cfg.Node, ID: def.ID, Name: def.Name, Tags: slices.Clone(def.Tags), Address: def.Address,
		TaggedAddresses: maps.Clone(def.TaggedAddresses), Meta: maps.Clone(def.Meta), Port: def.Port,
		SocketPath: def.SocketPath, EnableTagOverride: def.EnableTagOverride,
		Weights: &berth.Weights{Passing: 1, Warning: 1},
	}
	if def.Weights != nil {
		w := *def.Weights
		row.Weights = &w
	}
	ip, err := netip.ParseAddr(def.Address)
	if err != nil {
		return row
	}
	family := familyOf(ip)
	if row.TaggedAddresses == nil {
		row.TaggedAddresses = map[string]berth.ServiceAddress{}
	}
	for _, tag := range []string{"lan_" + family, "wan_" + family} {
		if _, ok := row.TaggedAddresses[tag]; !ok {
			row.TaggedAddresses[tag] = berth.ServiceAddress{Address: def.Address, Port: def.Port}
		}
	}
	return row
}

func familyOf(ip netip.Addr) string {
	if ip.Unmap().Is4() {
		return "ipv4"
	}
	return "ipv6"
}

// prepareServiceCheck completes check i of n of a service definition.
func (a *Agent) prepareServiceCheck(svc *berth.ServiceDefinition, in *berth.CheckDefinition, i, n int, source string) (*wantedCheck, error) {
	def := clean(in, source)
	def.ServiceID = svc.ID
	if def.ID == "" {
		def.ID = "service:" + svc.ID
		if n > 1 {
			def.ID = fmt.Sprintf("service:%s:%d", svc.ID, i+1)
		}
	}
	if def.Name == "" {
		def.Name = fmt.Sprintf("Service '%s' check", svc.Name)
	}
	if err := a.validateCheck(&def, source); err != nil {
		return nil, err
	}
	return &wantedCheck{def: &def, bundled: true}, nil
}

// prepareCheck checks a definition that comes by itself and completes it, in a copy.
func (a *Agent) prepareCheck(in *berth.CheckDefinition, source string) (*wantedCheck, error) {
	def := clean(in, source)
	if def.Name == "" {
		return nil, berth.Invalid("Missing check name")
	}
	if def.ID == "" {
		def.ID = def.Name
	}
	if !validStatus(def.Status) {
		return nil, berth.Invalid("Bad check status")
	}
	if err := a.validateCheck(&def, source); err != nil {
		return nil, err
	}
	return &wantedCheck{def: &def}, nil
}

// clean is a copy without what only sources on this host may say.
func clean(in *berth.CheckDefinition, source string) berth.CheckDefinition {
	def := *in
	if source == berth.SourceAPI {
		def.Passive, def.Type, def.Output = false, "", ""
	}
	return def
}

func validStatus(s string) bool {
	return s == "" || s == berth.StatusPassing || s == berth.StatusWarning || s == berth.StatusCritical
}

// validateCheck refuses what cannot run and raises what is too short.
func (a *Agent) validateCheck(def *berth.CheckDefinition, source string) error {
	if strings.HasPrefix(def.ID, berth.ServiceMaintenancePrefix) || def.ID == berth.NodeMaintenanceCheckID || def.ID == berth.NodeHealthCheckID {
		return berth.Invalid(fmt.Sprintf("Invalid check: ID %q is reserved; choose another one", def.ID))
	}
	if strings.ContainsRune(def.ID+def.Name, 0) {
		return berth.Invalid(fmt.Sprintf("Invalid check: ID %q or name %q contains a zero byte; take it out", def.ID, def.Name))
	}
	if def.Passive {
		return nil
	}
	if text := invalidTarget(def); text != "" {
		return berth.Invalid("Invalid check: " + text)
	}
	kind := def.Kind()
	switch {
	case kind == berth.CheckOSService:
		return berth.Invalid("Invalid check: OSService checks are for Windows services and not implemented on this platform; use another type of check")
	case kind == berth.CheckScript || kind == berth.CheckDocker:
		if err := a.allowScript(source); err != nil {
			return err
		}
	case kind == berth.CheckAlias && !a.isLocalAlias(def) && a.cfg.Nodes == nil:
		return berth.Invalid(fmt.Sprintf("Invalid check: alias of node %q: this agent cannot look at other nodes", def.AliasNode))
	}
	if def.Interval > 0 && def.Interval.D() < minInterval {
		a.log.Warn("check interval is too short and was raised", "check", def.ID, "interval", def.Interval.String(), "raised_to", minInterval.String())
		def.Interval = berth.Duration(minInterval)
	}
	if d := def.DeregisterCriticalServiceAfter; d > 0 && d.D() < minInterval {
		a.log.Warn("deregister_critical_service_after is too short and was raised", "check", def.ID, "after", d.String(), "raised_to", minInterval.String())
		def.DeregisterCriticalServiceAfter = berth.Duration(minInterval)
	}
	return nil
}

// invalidTarget is Consul's text for why a check cannot run, or "".
func invalidTarget(def *berth.CheckDefinition) string {
	script := len(def.ScriptArgs) > 0
	alias := def.AliasNode != "" || def.AliasService != ""
	timed := script || def.HTTP != "" || def.TCP != "" || def.UDP != "" || def.GRPC != "" || def.H2PING != "" ||
		def.OSService != "" || def.DockerContainerID != ""
	switch {
	case def.Interval > 0 && def.TTL > 0:
		return "Interval and TTL cannot both be specified"
	case timed && !alias && def.Interval <= 0:
		return "Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"
	case alias && def.Interval > 0:
		return "Interval cannot be set for Alias checks"
	case alias && def.TTL > 0:
		return "TTL must be not be set for Alias checks"
	case !timed && !alias && def.TTL <= 0:
		return "TTL must be > 0 for TTL checks"
	case def.DockerContainerID != "" && def.Kind() == berth.CheckDocker && !script:
		return "ScriptArgs must be set for Docker checks: the command to run in the container"
	case def.OutputMaxSize < 0:
		return "MaxOutputMaxSize must be positive"
	case def.OutputMaxSize > maxOutput:
		return fmt.Sprintf("OutputMaxSize is %d; use at most %d bytes, which the catalog has to keep", def.OutputMaxSize, maxOutput)
	case def.FailuresBeforeWarning > def.FailuresBeforeCritical:
		return "FailuresBeforeWarning can't be higher than FailuresBeforeCritical"
	case def.Timeout < 0 || def.SuccessBeforePassing < 0 || def.FailuresBeforeWarning < 0 || def.FailuresBeforeCritical < 0:
		return "Timeout and thresholds must not be negative"
	}
	return ""
}

// allowScript says whether source may have commands run. For docker the registrator has
// decided that already, label by label.
func (a *Agent) allowScript(source string) error {
	switch {
	case a.cfg.EnableScriptChecks, source == berth.SourceDocker:
		return nil
	case source == berth.SourceConfig && a.cfg.EnableLocalScriptChecks:
		return nil
	case source == berth.SourceAPI:
		return scriptsError{&berth.InvalidError{Status: 500, Text: scriptsRemote}}
	}
	return scriptsError{&berth.InvalidError{Status: 500, Text: scriptsLocal}}
}
