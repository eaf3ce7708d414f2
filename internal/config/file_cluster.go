package config

import "time"

// GossipKeys are about the gossip pools and their encryption.
type GossipKeys struct {
	Encrypt            *string    `key:"encrypt" flag:"encrypt" secret:"yes" doc:"base64 key of 16, 24 or 32 bytes (berth keygen); secures gossip and the server port"`
	EncryptVerifyIn    *bool      `key:"encrypt_verify_incoming" doc:"refuse clear text, in gossip and on the server port, when encrypt is set"`
	EncryptVerifyOut   *bool      `key:"encrypt_verify_outgoing" doc:"never send clear text, in gossip and to server ports, when encrypt is set"`
	DisableKeyringFile *bool      `key:"disable_keyring_file" flag:"disable-keyring-file" doc:"do not keep the gossip keys in data_dir"`
	GossipLAN          GossipPool `key:"gossip_lan"`
	GossipWAN          GossipPool `key:"gossip_wan"`
	DisableCoordinates *bool      `key:"disable_coordinates" doc:"do not measure round-trip times"`
}

// GossipPool is the timing of one pool.
type GossipPool struct {
	GossipNodes    *int           `key:"gossip_nodes" doc:"members told at a time"`
	GossipInterval *time.Duration `key:"gossip_interval" doc:"pause between rounds of gossip"`
	ProbeInterval  *time.Duration `key:"probe_interval" doc:"pause between probes of members"`
	ProbeTimeout   *time.Duration `key:"probe_timeout" doc:"how long a probe waits"`
	SuspicionMult  *int           `key:"suspicion_mult" doc:"how long a suspect may defend itself, as a multiple"`
	RetransmitMult *int           `key:"retransmit_mult" doc:"how often a message is repeated, as a multiple"`
}

// RaftKeys tune raft and what servers do.
type RaftKeys struct {
	Performance       PerformanceKeys `key:"performance"`
	Autopilot         AutopilotKeys   `key:"autopilot"`
	RaftProtocol      *int            `key:"raft_protocol" flag:"raft-protocol" doc:"only 3 exists"`
	SnapshotThreshold *int            `key:"raft_snapshot_threshold" reload:"yes" doc:"log entries between snapshots"`
	SnapshotInterval  *time.Duration  `key:"raft_snapshot_interval" reload:"yes" doc:"how often the need for a snapshot is looked at"`
	TrailingLogs      *int            `key:"raft_trailing_logs" reload:"yes" doc:"log entries kept after a snapshot"`
	PreVoteDisabled   *bool           `key:"raft_prevote_disabled" doc:"true: elections without a vote before the vote"`
	LogStore          LogStoreKeys    `key:"raft_logstore"`
	SessionTTLMin     *time.Duration  `key:"session_ttl_min" doc:"shortest TTL that a session may have"`
	TombstoneTTL      *time.Duration  `key:"tombstone_ttl" doc:"how long deleted keys hold their index"`
}

// PerformanceKeys scale raft's timing.
type PerformanceKeys struct {
	RaftMultiplier *int           `key:"raft_multiplier" doc:"1 to 10: scales raft's timeouts; 1 fails over in about 2 s"`
	LeaveDrainTime *time.Duration `key:"leave_drain_time" doc:"how long a leaving server still answers"`
	RPCHoldTimeout *time.Duration `key:"rpc_hold_timeout" doc:"how long a request waits for a leader"`
}

// AutopilotKeys are the first settings of a new cluster; later they are changed by API.
type AutopilotKeys struct {
	CleanupDeadServers      *bool          `key:"cleanup_dead_servers" doc:"remove failed servers when a new one has taken their place"`
	LastContactThreshold    *time.Duration `key:"last_contact_threshold" doc:"longest silence of a healthy server"`
	MaxTrailingLogs         *int           `key:"max_trailing_logs" doc:"most entries a healthy server may be behind"`
	MinQuorum               *int           `key:"min_quorum" doc:"servers that are never removed by clean-up"`
	ServerStabilizationTime *time.Duration `key:"server_stabilization_time" doc:"how long a new server must be healthy before it votes"`
}

// LogStoreKeys are Consul's; the only back end is the WAL.
type LogStoreKeys struct {
	Backend *string `key:"backend" doc:"wal (default is the same)"`
	WAL     WALKeys `key:"wal"`
}

// WALKeys tune the write-ahead log.
type WALKeys struct {
	SegmentSizeMB *int `key:"segment_size_mb" doc:"size of a log segment, 1 to 1024 MiB"`
}

// TLSKeys hold settings per listener; what is empty there is taken from defaults.
type TLSKeys struct {
	Defaults    TLSBlock `key:"defaults"`
	InternalRPC TLSBlock `key:"internal_rpc"`
	HTTPS       TLSBlock `key:"https"`
}

// TLSBlock is the TLS of one listener.
type TLSBlock struct {
	CAFile               *string `key:"ca_file" reload:"yes" doc:"PEM file with the certificate authorities to trust"`
	CAPath               *string `key:"ca_path" reload:"yes" doc:"folder with such files"`
	CertFile             *string `key:"cert_file" reload:"yes" doc:"PEM file with this agent's certificate"`
	KeyFile              *string `key:"key_file" reload:"yes" doc:"PEM file with its private key"`
	MinVersion           *string `key:"tls_min_version" reload:"yes" doc:"TLSv1_2 or TLSv1_3"`
	CipherSuites         *string `key:"tls_cipher_suites" reload:"yes" doc:"comma-separated names of TLS 1.2 cipher suites"`
	VerifyIncoming       *bool   `key:"verify_incoming" reload:"yes" doc:"demand a certificate from who connects"`
	VerifyOutgoing       *bool   `key:"verify_outgoing" reload:"yes" doc:"check the certificate of who is connected to"`
	VerifyServerHostname *bool   `key:"verify_server_hostname" reload:"yes" doc:"accept as a server only who has a certificate for server.<datacenter>.<domain>; on internal_rpc"`
}

// OldTLSKeys are the top-level names of Consul before 1.12; they set tls.defaults.
type OldTLSKeys struct {
	CAFile               *string `key:"ca_file" doc:"old name of tls.defaults.ca_file"`
	CAPath               *string `key:"ca_path" doc:"old name of tls.defaults.ca_path"`
	CertFile             *string `key:"cert_file" doc:"old name of tls.defaults.cert_file"`
	KeyFile              *string `key:"key_file" doc:"old name of tls.defaults.key_file"`
	MinVersion           *string `key:"tls_min_version" doc:"old name of tls.defaults.tls_min_version"`
	CipherSuites         *string `key:"tls_cipher_suites" doc:"old name of tls.defaults.tls_cipher_suites"`
	VerifyIncoming       *bool   `key:"verify_incoming" doc:"old name of tls.defaults.verify_incoming"`
	VerifyIncomingHTTPS  *bool   `key:"verify_incoming_https" doc:"old name of tls.https.verify_incoming"`
	VerifyIncomingRPC    *bool   `key:"verify_incoming_rpc" doc:"old name of tls.internal_rpc.verify_incoming"`
	VerifyOutgoing       *bool   `key:"verify_outgoing" doc:"old name of tls.defaults.verify_outgoing"`
	VerifyServerHostname *bool   `key:"verify_server_hostname" doc:"old name of tls.internal_rpc.verify_server_hostname"`
}

// ACLKeys configure access control.
type ACLKeys struct {
	Enabled          *bool          `key:"enabled" doc:"true is refused: there is no access control in this version"`
	DefaultPolicy    *string        `key:"default_policy" doc:"accepted; only shown to clients"`
	DownPolicy       *string        `key:"down_policy" doc:"accepted; for access control: allow, deny, extend-cache or async-cache while the servers cannot be asked"`
	TokenTTL         *time.Duration `key:"token_ttl" doc:"accepted; for access control: how long a resolved token is kept"`
	PolicyTTL        *time.Duration `key:"policy_ttl" doc:"accepted; for access control: how long a policy is kept"`
	RoleTTL          *time.Duration `key:"role_ttl" doc:"accepted; for access control: how long a role is kept"`
	TokenPersistence *bool          `key:"enable_token_persistence" doc:"accepted; for access control: keep tokens set by API in data_dir"`
	TokenReplication *bool          `key:"enable_token_replication" doc:"accepted; for access control: copy tokens from the primary datacenter"`
	KeyListPolicy    *bool          `key:"enable_key_list_policy" doc:"accepted; for access control: listing keys needs the list permission"`
	Tokens           TokenKeys      `key:"tokens"`
}

// TokenKeys are the tokens this agent uses.
type TokenKeys struct {
	InitialManagement *string `key:"initial_management" secret:"yes" doc:"accepted; for access control: first management token of a new cluster"`
	Default           *string `key:"default" secret:"yes" doc:"accepted; for access control: for requests that bring no token"`
	Agent             *string `key:"agent" secret:"yes" doc:"accepted; for access control: for the agent's own requests"`
	AgentRecovery     *string `key:"agent_recovery" secret:"yes" doc:"accepted; for access control: for this agent's API while the servers cannot be asked"`
	Replication       *string `key:"replication" secret:"yes" doc:"accepted; for access control: for copying from the primary datacenter"`
	DNS               *string `key:"dns" secret:"yes" doc:"accepted; for access control: for DNS questions"`
	ConfigFile        *string `key:"config_file_service_registration" secret:"yes" doc:"accepted; for access control: for services and checks of configuration files"`
}
