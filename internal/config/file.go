package config

import "time"

// File is everything that a user can set. Nil means: not set in this layer. Tags: key is the
// name in files, flag the name on the command line of `berth agent`, reload:"yes" says that a
// reload applies a change, doc is the description.
type File struct {
	NodeKeys
	ServerKeys
	AddressKeys
	JoinKeys
	GossipKeys
	RaftKeys
	DNSKeys
	HTTPKeys
	CheckKeys
	DefinitionKeys
	LeaveKeys
	LogKeys
	MiscKeys

	Registrator RegistratorKeys `key:"registrator"`
}

// NodeKeys say what this agent is called and where it keeps its data.
type NodeKeys struct {
	Datacenter        *string           `key:"datacenter" flag:"datacenter" doc:"name of the datacenter: lower-case letters, digits, - and _"`
	PrimaryDatacenter *string           `key:"primary_datacenter" doc:"datacenter that holds what all share; empty is this one"`
	NodeName          *string           `key:"node_name" flag:"node" doc:"name of this node, unique in the datacenter; empty is the host name"`
	NodeID            *string           `key:"node_id" flag:"node-id" doc:"UUID of this node; empty is the one kept in data_dir"`
	NodeMeta          map[string]string `key:"node_meta" flag:"node-meta" doc:"metadata of the node, at most 64 pairs; as a flag key:value, repeatable"`
	DisableHostNodeID *bool             `key:"disable_host_node_id" flag:"disable-host-node-id" doc:"accepted; node IDs never come from the hardware"`
	DataDir           *string           `key:"data_dir" flag:"data-dir" doc:"folder for everything that outlives the process; required except with -dev"`
	PIDFile           *string           `key:"pid_file" flag:"pid-file" doc:"file for the process ID"`
	TaggedAddresses   map[string]string `key:"tagged_addresses" doc:"further addresses of the node by tag, such as wan or lan_ipv6"`
	TranslateWANAddrs *bool             `key:"translate_wan_addrs" doc:"answer questions from other datacenters with WAN addresses"`
}

// ServerKeys make an agent a server.
type ServerKeys struct {
	Server          *bool          `key:"server" flag:"server" doc:"take part in raft and keep the catalog"`
	Bootstrap       *bool          `key:"bootstrap" flag:"bootstrap" doc:"elect this server without waiting for others; one server only"`
	BootstrapExpect *int           `key:"bootstrap_expect" flag:"bootstrap-expect" doc:"number of servers to wait for before the first election"`
	NonVoter        *bool          `key:"read_replica" flag:"read-replica" doc:"server that never votes"`
	NonVotingServer *bool          `key:"non_voting_server" flag:"non-voting-server" doc:"old name of read_replica"`
	RejoinAgeMax    *time.Duration `key:"server_rejoin_age_max" doc:"accepted; a server may return after any time"`
}

// AddressKeys say where the agent listens and what it tells others.
type AddressKeys struct {
	BindAddr         *string        `key:"bind_addr" flag:"bind" doc:"address for gossip and servers' traffic; a go-sockaddr template is allowed"`
	ClientAddr       *string        `key:"client_addr" flag:"client" doc:"addresses for HTTP and DNS, separated by spaces; templates are allowed"`
	AdvertiseAddr    *string        `key:"advertise_addr" flag:"advertise" doc:"address told to others; empty is bind_addr or the only private IPv4 address"`
	AdvertiseIPv4    *string        `key:"advertise_addr_ipv4" doc:"IPv4 address told to others besides advertise_addr"`
	AdvertiseIPv6    *string        `key:"advertise_addr_ipv6" doc:"IPv6 address told to others besides advertise_addr"`
	AdvertiseWAN     *string        `key:"advertise_addr_wan" flag:"advertise-wan" doc:"address told to other datacenters; empty is advertise_addr"`
	AdvertiseWANIPv4 *string        `key:"advertise_addr_wan_ipv4" doc:"IPv4 address told to other datacenters besides advertise_addr_wan"`
	AdvertiseWANIPv6 *string        `key:"advertise_addr_wan_ipv6" doc:"IPv6 address told to other datacenters besides advertise_addr_wan"`
	Addresses        ListenerKeys   `key:"addresses"`
	Ports            PortKeys       `key:"ports"`
	SerfLAN          *string        `key:"serf_lan" flag:"serf-lan-bind" doc:"address for LAN gossip; empty is bind_addr"`
	SerfWAN          *string        `key:"serf_wan" flag:"serf-wan-bind" doc:"address for WAN gossip; empty is bind_addr"`
	SerfLANAllowed   []string       `key:"serf_lan_allowed_cidrs" flag:"serf-lan-allowed-cidrs" doc:"networks whose members may join the LAN pool; empty is all"`
	SerfWANAllowed   []string       `key:"serf_wan_allowed_cidrs" flag:"serf-wan-allowed-cidrs" doc:"networks whose members may join the WAN pool; empty is all"`
	UnixSockets      UnixKeys       `key:"unix_sockets"`
	AllowWriteFrom   []string       `key:"allow_write_http_from" flag:"allow-write-http-from" doc:"networks that may write by HTTP; same as http_config.allow_write_http_from"`
	AdvertiseReconn  *time.Duration `key:"advertise_reconnect_timeout" doc:"how long others shall remember this agent after it failed, in whole seconds; unset: as they remember all"`
	ReconnectTimeout *time.Duration `key:"reconnect_timeout" doc:"how long a failed member is remembered"`
	ReconnectWAN     *time.Duration `key:"reconnect_timeout_wan" doc:"the same for members of the WAN pool"`
}

// ListenerKeys are addresses per protocol.
type ListenerKeys struct {
	DNS   *string `key:"dns" doc:"addresses for DNS instead of client_addr"`
	HTTP  *string `key:"http" doc:"addresses for HTTP instead of client_addr; unix:///path is allowed"`
	HTTPS *string `key:"https" doc:"addresses for HTTPS instead of client_addr; unix:///path is allowed"`
}

// PortKeys are the ports; -1 turns a listener off.
type PortKeys struct {
	DNS     *int `key:"dns" flag:"dns-port" doc:"DNS port on client_addr; unset: 8600, and 53 on local addresses where allowed; -1 is off"`
	HTTP    *int `key:"http" flag:"http-port" doc:"HTTP port; -1 is off"`
	HTTPS   *int `key:"https" flag:"https-port" doc:"HTTPS port; -1 is off"`
	SerfLAN *int `key:"serf_lan" flag:"serf-lan-port" doc:"LAN gossip port, TCP and UDP"`
	SerfWAN *int `key:"serf_wan" flag:"serf-wan-port" doc:"WAN gossip port, TCP and UDP; -1 is off"`
	Server  *int `key:"server" flag:"server-port" doc:"port for raft and forwarded requests"`
}

// UnixKeys are the owner and mode of unix sockets.
type UnixKeys struct {
	User  *string `key:"user" doc:"owner of unix sockets, name or number"`
	Group *string `key:"group" doc:"group of unix sockets, name or number"`
	Mode  *string `key:"mode" doc:"permissions of unix sockets, octal"`
}

// JoinKeys say whom to meet.
type JoinKeys struct {
	RetryJoin        []string       `key:"retry_join" flag:"retry-join" doc:"agents to join: host or host:port; looked up again at every try"`
	RetryInterval    *time.Duration `key:"retry_interval" flag:"retry-interval" doc:"pause between tries to join"`
	RetryMax         *int           `key:"retry_max" flag:"retry-max" doc:"tries to join, retry_interval apart, before the agent gives up; 0 is for ever"`
	RetryJoinWAN     []string       `key:"retry_join_wan" flag:"retry-join-wan" doc:"servers of other datacenters to join"`
	RetryIntervalWAN *time.Duration `key:"retry_interval_wan" flag:"retry-interval-wan" doc:"pause between tries to join the WAN pool"`
	RetryMaxWAN      *int           `key:"retry_max_wan" flag:"retry-max-wan" doc:"tries to join the WAN pool, retry_interval_wan apart, before the agent gives up; 0 is for ever"`
	StartJoin        []string       `key:"start_join" flag:"join" doc:"old name of retry_join"`
	StartJoinWAN     []string       `key:"start_join_wan" flag:"join-wan" doc:"old name of retry_join_wan"`
	RejoinAfterLeave *bool          `key:"rejoin_after_leave" flag:"rejoin" doc:"after a leave meet the members known before again"`
}

// LeaveKeys say what the agent does when it is told to stop.
type LeaveKeys struct {
	LeaveOnTerminate     *bool `key:"leave_on_terminate" doc:"leave the cluster on SIGTERM; unset: true for clients, false for servers"`
	SkipLeaveOnInterrupt *bool `key:"skip_leave_on_interrupt" doc:"stop without leaving on SIGINT; unset: false for clients, true for servers"`
	AutoReload           *bool `key:"auto_reload_config" flag:"auto-reload-config" doc:"reload when a configuration file changes"`
}
