package httpapi

import (
	"encoding/json"
	"fmt"

	"berth"
)

// serviceBody is a service definition as clients send it: Consul's member names, its
// snake_case aliases, and the mesh members, which are read and have no effect.
type serviceBody struct {
	berth.ServiceDefinition
	serviceAliases
	Check    *checkBody
	Checks   []*checkBody
	Proxy    json.RawMessage
	Connect  json.RawMessage
	Locality json.RawMessage
}

type serviceAliases struct {
	TaggedAddresses2   map[string]berth.ServiceAddress `json:"tagged_addresses"`
	EnableTagOverride2 *bool                           `json:"enable_tag_override"`
	SocketPath2        *string                         `json:"socket_path"`
	SidecarService     json.RawMessage                 `json:"SidecarService"`
	SidecarService2    json.RawMessage                 `json:"sidecar_service"`
}

func (b *serviceBody) definition() (*berth.ServiceDefinition, error) {
	d := b.ServiceDefinition
	a := &b.serviceAliases
	if a.TaggedAddresses2 != nil {
		d.TaggedAddresses = a.TaggedAddresses2
	}
	override(&d.EnableTagOverride, a.EnableTagOverride2)
	override(&d.SocketPath, a.SocketPath2)
	var err error
	if b.Check != nil {
		if d.Check, err = b.Check.definition(); err != nil {
			return nil, err
		}
	}
	for _, c := range b.Checks {
		if c == nil {
			continue
		}
		def, err := c.definition()
		if err != nil {
			return nil, err
		}
		d.Checks = append(d.Checks, def)
	}
	return &d, nil
}

// checkBody is a check definition as clients send it.
type checkBody struct {
	berth.CheckDefinition
	checkAliases
	CheckID      string
	Args         []string
	H2PingUseTLS *bool // absent is true
	ProxyHTTP    string
	ProxyGRPC    string
	// What only sources inside the agent may say: unknown members to a client.
	Passive json.RawMessage
	Type    json.RawMessage
	Output  json.RawMessage
}

type checkAliases struct {
	Args2                   []string        `json:"script_args"`
	ServiceID2              *string         `json:"service_id"`
	DockerContainerID2      *string         `json:"docker_container_id"`
	TLSServerName2          *string         `json:"tls_server_name"`
	TLSSkipVerify2          *bool           `json:"tls_skip_verify"`
	TCPUseTLS2              *bool           `json:"tcp_use_tls"`
	GRPCUseTLS2             *bool           `json:"grpc_use_tls"`
	H2PingUseTLS2           *bool           `json:"h2ping_use_tls"`
	DisableRedirects2       *bool           `json:"disable_redirects"`
	OutputMaxSize2          *int            `json:"output_max_size"`
	SuccessBeforePassing2   *int            `json:"success_before_passing"`
	FailuresBeforeWarning2  *int            `json:"failures_before_warning"`
	FailuresBeforeCritical2 *int            `json:"failures_before_critical"`
	AliasNode2              *string         `json:"alias_node"`
	AliasService2           *string         `json:"alias_service"`
	OSService2              *string         `json:"os_service"`
	Deregister2             *berth.Duration `json:"deregister_critical_service_after"`
}

func (b *checkBody) definition() (*berth.CheckDefinition, error) {
	d := b.CheckDefinition
	for name, v := range map[string]json.RawMessage{"Passive": b.Passive, "Type": b.Type, "Output": b.Output} {
		if v != nil {
			return nil, berth.Invalid(fmt.Sprintf("%sjson: unknown field %q", decodeFailed, name))
		}
	}
	a := &b.checkAliases
	if d.ID == "" {
		d.ID = b.CheckID
	}
	for _, args := range [][]string{b.Args, a.Args2} {
		if len(args) > 0 {
			d.ScriptArgs = args
		}
	}
	override(&d.ServiceID, a.ServiceID2)
	override(&d.DockerContainerID, a.DockerContainerID2)
	override(&d.TLSServerName, a.TLSServerName2)
	override(&d.TLSSkipVerify, a.TLSSkipVerify2)
	override(&d.TCPUseTLS, a.TCPUseTLS2)
	override(&d.GRPCUseTLS, a.GRPCUseTLS2)
	override(&d.DisableRedirects, a.DisableRedirects2)
	override(&d.OutputMaxSize, a.OutputMaxSize2)
	override(&d.SuccessBeforePassing, a.SuccessBeforePassing2)
	override(&d.FailuresBeforeWarning, a.FailuresBeforeWarning2)
	override(&d.FailuresBeforeCritical, a.FailuresBeforeCritical2)
	override(&d.AliasNode, a.AliasNode2)
	override(&d.AliasService, a.AliasService2)
	override(&d.OSService, a.OSService2)
	override(&d.DeregisterCriticalServiceAfter, a.Deregister2)
	d.H2PingUseTLS = d.H2PING != ""
	if d.H2PING != "" {
		override(&d.H2PingUseTLS, b.H2PingUseTLS)
		override(&d.H2PingUseTLS, a.H2PingUseTLS2)
	}
	return &d, nil
}

func override[T any](dst *T, v *T) {
	if v != nil {
		*dst = *v
	}
}

// instanceBody is an instance as catalog registrations and transactions carry it.
type instanceBody struct {
	berth.ServiceInstance
	Datacenter  string
	PeerName    string
	ContentHash string
	Proxy       json.RawMessage
	Connect     json.RawMessage
	Locality    json.RawMessage
}

// catalogCheckBody is a check as catalog registrations and transactions carry it. Its
// Definition is read leniently, as Consul does.
type catalogCheckBody struct {
	berth.Check
	Definition laxTarget
	PeerName   string
}

func (b *catalogCheckBody) check() *berth.Check {
	c := b.Check
	c.Definition = berth.CheckTarget(b.Definition)
	if c.Type == "" {
		c.Type = definedType(&c.Definition)
	}
	return &c
}

// definedType is the kind of check that a target describes, "" when it describes none.
func definedType(t *berth.CheckTarget) string {
	switch {
	case t.HTTP != "":
		return "http"
	case t.TCP != "":
		return "tcp"
	case t.UDP != "":
		return "udp"
	case t.GRPC != "":
		return "grpc"
	case t.H2PING != "":
		return "h2ping"
	case t.OSService != "":
		return "os_service"
	}
	return ""
}

type laxTarget berth.CheckTarget

// UnmarshalJSON ignores members it does not know.
func (t *laxTarget) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*berth.CheckTarget)(t)) }

// registrationBody is a catalog registration as clients send it.
type registrationBody struct {
	berth.Registration
	Service  *instanceBody
	Check    *catalogCheckBody
	Checks   []*catalogCheckBody
	Locality json.RawMessage
	PeerName string
}

func (b *registrationBody) registration() *berth.Registration {
	r := b.Registration
	if b.Service != nil {
		r.Service = &b.Service.ServiceInstance
	}
	if b.Check != nil {
		r.Check = b.Check.check()
	}
	for _, c := range b.Checks {
		if c != nil {
			r.Checks = append(r.Checks, c.check())
		}
	}
	return &r
}
