package config

import "time"

// CheckKeys say how checks run.
type CheckKeys struct {
	ScriptChecks      *bool          `key:"enable_script_checks" flag:"enable-script-checks" doc:"run script checks, also those registered by API: only with ACLs"`
	LocalScriptChecks *bool          `key:"enable_local_script_checks" flag:"enable-local-script-checks" doc:"run script checks of configuration files"`
	AgentTLS          *bool          `key:"enable_agent_tls_for_checks" doc:"checks with TLS show the certificate of tls.internal_rpc and trust its authorities"`
	UpdateInterval    *time.Duration `key:"check_update_interval" doc:"how often a mere change of output is written to the catalog"`
	OutputMaxSize     *int           `key:"check_output_max_size" flag:"check_output_max_size" doc:"bytes kept of a check's output"`
	DiscardOutput     *bool          `key:"discard_check_output" doc:"keep no output of checks"`
}

// DefinitionKeys are the services, checks and watches of configuration files.
type DefinitionKeys struct {
	Service  *Service         `key:"service" reload:"yes" doc:"one service of this node"`
	Services []Service        `key:"services" reload:"yes" doc:"services of this node"`
	Check    *Check           `key:"check" reload:"yes" doc:"one check of this node or of a service"`
	Checks   []Check          `key:"checks" reload:"yes" doc:"checks of this node or of its services"`
	Watches  []map[string]any `key:"watches" reload:"yes" doc:"watches: type, its arguments, and args or handler_type http"`
}

// Service is a service stanza.
type Service struct {
	Kind              *string            `key:"kind" doc:"empty for plain services"`
	ID                *string            `key:"id" doc:"ID, unique on the node; empty is the name"`
	Name              *string            `key:"name" doc:"name of the service"`
	Tags              []string           `key:"tags" doc:"tags"`
	Address           *string            `key:"address" doc:"address of the instance; empty is the node's"`
	TaggedAddresses   map[string]Address `key:"tagged_addresses" doc:"further addresses by tag"`
	Meta              map[string]string  `key:"meta" doc:"metadata"`
	Port              *int               `key:"port" doc:"port"`
	SocketPath        *string            `key:"socket_path" doc:"unix socket instead of address and port"`
	Check             *Check             `key:"check" doc:"one check of the instance"`
	Checks            []Check            `key:"checks" doc:"checks of the instance"`
	Token             *string            `key:"token" secret:"yes" doc:"ACL token for the registration"`
	Weights           *Weights           `key:"weights" doc:"SRV weights by health"`
	EnableTagOverride *bool              `key:"enable_tag_override" doc:"others may change the tags in the catalog"`
}

// Address is a tagged address.
type Address struct {
	Address *string `key:"address" doc:"address"`
	Port    *int    `key:"port" doc:"port"`
}

// Weights are SRV weights.
type Weights struct {
	Passing *int `key:"passing" doc:"weight of a passing instance"`
	Warning *int `key:"warning" doc:"weight of an instance in warning"`
}

// Check is a check stanza.
type Check struct {
	ID        *string `key:"id" doc:"ID, unique on the node; empty is the name"`
	Name      *string `key:"name" doc:"name of the check"`
	Notes     *string `key:"notes" doc:"text for people"`
	ServiceID *string `key:"service_id" doc:"service that the check belongs to"`
	Token     *string `key:"token" secret:"yes" doc:"ACL token for the registration"`
	Status    *string `key:"status" doc:"status until the first result; empty is critical"`

	CheckTargetKeys

	Interval      *time.Duration `key:"interval" doc:"pause between runs"`
	Timeout       *time.Duration `key:"timeout" doc:"longest run"`
	TTL           *time.Duration `key:"ttl" doc:"time within which the status must be refreshed"`
	OutputMaxSize *int           `key:"output_max_size" doc:"bytes kept of the output"`
	Successes     *int           `key:"success_before_passing" doc:"successes in a row before the check passes"`
	Warnings      *int           `key:"failures_before_warning" doc:"failures in a row before the check warns"`
	Failures      *int           `key:"failures_before_critical" doc:"failures in a row before the check is critical"`
	Deregister    *time.Duration `key:"deregister_critical_service_after" doc:"remove the instance after so long in critical"`
}

// CheckTargetKeys say what a check looks at.
type CheckTargetKeys struct {
	Args              []string            `key:"args" doc:"command and its arguments"`
	HTTP              *string             `key:"http" doc:"URL to ask"`
	Header            map[string][]string `key:"header" doc:"request headers"`
	Method            *string             `key:"method" doc:"request method"`
	Body              *string             `key:"body" doc:"request body"`
	DisableRedirects  *bool               `key:"disable_redirects" doc:"do not follow redirects"`
	TCP               *string             `key:"tcp" doc:"host:port to connect to"`
	TCPUseTLS         *bool               `key:"tcp_use_tls" doc:"with TLS"`
	UDP               *string             `key:"udp" doc:"host:port to send a datagram to"`
	DockerContainerID *string             `key:"docker_container_id" doc:"container in which args runs"`
	Shell             *string             `key:"shell" doc:"shell for args in the container"`
	GRPC              *string             `key:"grpc" doc:"host:port[/service] to ask by gRPC"`
	GRPCUseTLS        *bool               `key:"grpc_use_tls" doc:"with TLS"`
	TLSServerName     *string             `key:"tls_server_name" doc:"name expected in the certificate"`
	TLSSkipVerify     *bool               `key:"tls_skip_verify" doc:"accept any certificate"`
	AliasNode         *string             `key:"alias_node" doc:"node whose health is taken over"`
	AliasService      *string             `key:"alias_service" doc:"service ID whose health is taken over"`
	H2PING            *string             `key:"h2ping" doc:"host:port to ping by HTTP/2"`
	H2PingUseTLS      *bool               `key:"h2ping_use_tls" doc:"with TLS; true unless set"`
	OSService         *string             `key:"os_service" doc:"Windows service; not available on Linux"`
}
