package config

import "time"

// Seconds is a duration for which a bare number means seconds, as gliderlabs' flags have it.
type Seconds time.Duration

// Millis is a duration for which a bare number means milliseconds.
type Millis time.Duration

// RegistratorKeys say how containers become services. The flags are those of
// `berth registrator`; `berth agent` has them with the prefix "docker-".
type RegistratorKeys struct {
	Enabled *bool   `key:"enabled" doc:"watch Docker and register containers"`
	Profile *string `key:"profile" doc:"native, or registrator for gliderlabs' defaults"`

	RegistratorNames
	RegistratorAddrs
	RegistratorHealth
	RegistratorRuns
	RegistratorDocker
}

// RegistratorNames choose containers, names and metadata.
type RegistratorNames struct {
	Explicit       *bool   `key:"explicit" rflag:"explicit" doc:"register only ports that have a name in metadata"`
	Tags           *string `key:"tags" rflag:"tags" doc:"tags for every service, comma-separated; a Go template over the container"`
	Constraint     *string `key:"constraint" rflag:"constraint" doc:"which containers are seen: label(k)=v, image~glob, name~glob, && || !"`
	DefaultName    *string `key:"default_name" rflag:"default-name" doc:"name when metadata has none: auto, image, compose or container"`
	NamePortSuffix *string `key:"name_port_suffix" rflag:"name-port-suffix" doc:"append the port to the name: multi, always, never, or proto: as multi with the protocol besides TCP"`
	EnvMeta        *string `key:"env_meta" rflag:"env-meta" doc:"what becomes metadata: all, filtered, labels or none"`
	AllowCustomID  *bool   `key:"allow_custom_id" rflag:"allow-custom-id" doc:"accept SERVICE_ID outside this node's prefix"`

	AllowNames        []string `key:"allow_names" rflag:"allow-names" doc:"patterns of names that containers may take, comma-separated; empty is all"`
	AutoTags          *bool    `key:"auto_tags" rflag:"auto-tags" doc:"tags of the image's tag, the Compose project, the container's ID and host name"`
	AllowTagTemplates *bool    `key:"allow_tag_templates" rflag:"allow-tag-templates" doc:"templates in the containers' own SERVICE_TAGS are expanded"`
	Kubernetes        *bool    `key:"kubernetes" rflag:"kubernetes" doc:"register containers of Kubernetes, too"`
}

// RegistratorAddrs choose addresses and ports.
type RegistratorAddrs struct {
	IP              *string  `key:"ip" rflag:"ip" doc:"address for all published services"`
	Internal        *bool    `key:"internal" rflag:"internal" doc:"container address and port; same as address_mode internal"`
	IPFromContainer *bool    `key:"ip_from_container" rflag:"ip-from-container" doc:"container address, with the published port"`
	UseIPFromLabel  *string  `key:"use_ip_from_label" rflag:"useIpFromLabel" doc:"label whose value is the address"`
	AddressMode     *string  `key:"address_mode" rflag:"address-mode" doc:"published, internal or auto"`
	Network         []string `key:"network" rflag:"network" doc:"networks in order for internal addresses, comma-separated: names, globs or CIDRs"`
	AddressFamily   *string  `key:"address_family" rflag:"address-family" doc:"ipv4, ipv6, dual or prefer-ipv6"`
	Loopback        *string  `key:"loopback" rflag:"loopback" doc:"ports published on loopback only: skip, or host to register them as they are"`
	AllBindings     *bool    `key:"all_bindings" rflag:"all-bindings" doc:"register each binding of a port, not one"`
	HostModePorts   *string  `key:"host_mode_ports" rflag:"host-mode-ports" doc:"ports of containers in the host's network: declared or exposed"`
}

// RegistratorHealth says how health is found.
type RegistratorHealth struct {
	DockerHealth      *string `key:"docker_health" rflag:"docker-health" doc:"use Docker's health: auto or off"`
	HealthStarting    *string `key:"health_starting" rflag:"health-starting" doc:"status while Docker says starting: critical, warning or passing"`
	AllowScriptChecks *bool   `key:"allow_script_checks" rflag:"allow-script-checks" doc:"labels may run commands on the host"`
	AllowExecChecks   *bool   `key:"allow_exec_checks" rflag:"allow-exec-checks" doc:"labels may run commands in their container"`
	AllowTargets      *bool   `key:"allow_foreign_targets" rflag:"allow-foreign-targets" doc:"checks in labels may name addresses that are not the container's"`
	AllowTemplateHTTP *bool   `key:"allow_template_http" rflag:"allow-template-http" doc:"templates may fetch URLs"`
}

// RegistratorRuns are about time: when to look, when to remove.
type RegistratorRuns struct {
	Resync           *Seconds `key:"resync" rflag:"resync" doc:"how often all containers are listed; a number is seconds"`
	FullInspect      *Seconds `key:"full_inspect" rflag:"full-inspect" doc:"how often every container is inspected"`
	Cleanup          *bool    `key:"cleanup" rflag:"cleanup" inert:"a host's services are handed over as a complete set, so there are no leftovers" doc:"remove own leftovers"`
	Deregister       *string  `key:"deregister" rflag:"deregister" doc:"when a container exits: always, on-success or never"`
	DeregisterOnStop *bool    `key:"deregister_on_stop" rflag:"deregister-on-stop" doc:"critical as soon as the container is told to stop"`
	Drain            *Seconds `key:"drain" rflag:"drain" doc:"how long a stopping instance stays as critical at least"`
	TTL              *Seconds `key:"ttl" rflag:"ttl" inert:"the catalog has no leases, an agent that is gone is noticed by gossip" doc:"lease on entries"`
	TTLRefresh       *Seconds `key:"ttl_refresh" rflag:"ttl-refresh" inert:"the catalog has no leases, an agent that is gone is noticed by gossip" doc:"how often the lease is renewed"`
	RetryAttempts    *int     `key:"retry_attempts" rflag:"retry-attempts" inert:"Docker is waited for without an end" doc:"tries to reach Docker at start"`
	DeadTTL          *Seconds `key:"dead_ttl" rflag:"dead-ttl" doc:"how long what deregister on-success keeps of an exited container is kept"`
	RestartGrace     *Seconds `key:"restart_grace" rflag:"restart-grace" doc:"how long a container that Docker restarts keeps its entry"`
	FlapDamping      *bool    `key:"flap_damping" rflag:"flap-damping" doc:"register a container that restarts all the time only after a pause"`
	LeaveOnExit      *bool    `key:"leave_on_exit" rflag:"leave-on-exit" doc:"take out all of the containers' services when the agent ends"`
	RetryInterval    *Millis  `key:"retry_interval" rflag:"retry-interval" inert:"the pauses grow from 0.1 s to 10 s" doc:"pause between them; a number is milliseconds"`
}

// RegistratorDocker says where Docker is.
type RegistratorDocker struct {
	Docker    *string `key:"docker" rflag:"docker" doc:"endpoint of the engine; auto looks at DOCKER_HOST, the context and the usual sockets, off is the same as enabled: false"`
	TLSCA     *string `key:"docker_tls_ca" rflag:"docker-tls-ca" doc:"PEM file with the engine's certificate authority"`
	TLSCert   *string `key:"docker_tls_cert" rflag:"docker-tls-cert" doc:"PEM file with the client certificate"`
	TLSKey    *string `key:"docker_tls_key" rflag:"docker-tls-key" doc:"PEM file with its key"`
	TLSVerify *bool   `key:"docker_tls_verify" rflag:"docker-tls-verify" doc:"check the engine's certificate; false accepts any"`
}
