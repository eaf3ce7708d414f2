package config

import "time"

// HTTPKeys are about the API.
type HTTPKeys struct {
	HTTP             HTTPSection `key:"http_config"`
	Limits           LimitKeys   `key:"limits"`
	TLS              TLSKeys     `key:"tls"`
	OldTLS           OldTLSKeys
	ACL              ACLKeys        `key:"acl"`
	UI               UIKeys         `key:"ui_config"`
	UIEnabled        *bool          `key:"ui" flag:"ui" doc:"old name of ui_config.enabled"`
	UIDir            *string        `key:"ui_dir" flag:"ui-dir" doc:"old name of ui_config.dir"`
	UIPath           *string        `key:"ui_content_path" flag:"ui-content-path" doc:"old name of ui_config.content_path"`
	DefaultQueryTime *time.Duration `key:"default_query_time" flag:"default-query-time" doc:"how long a blocking query waits when it does not say"`
	MaxQueryTime     *time.Duration `key:"max_query_time" flag:"max-query-time" doc:"longest time a blocking query may ask for"`
	MaxStale         *time.Duration `key:"discovery_max_stale" doc:"above 0: default reads may be answered by a replica of at most this age"`
	EnableDebug      *bool          `key:"enable_debug" doc:"offer /debug/pprof"`
	NoPrintFilter    *bool          `key:"disable_http_unprintable_char_filter" doc:"accept unprintable characters in URL paths"`
}

// HTTPSection is Consul's http_config.
type HTTPSection struct {
	BlockEndpoints []string          `key:"block_endpoints" doc:"path prefixes answered with 403"`
	AllowWriteFrom []string          `key:"allow_write_http_from" doc:"networks that may write; empty is all"`
	Headers        map[string]string `key:"response_headers" doc:"headers added to every answer"`
	UseCache       *bool             `key:"use_cache" doc:"answer ?cached from the replica"`
	MaxHeaderBytes *int              `key:"max_header_bytes" doc:"longest request header; 0 is Go's 1 MiB"`
}

// LimitKeys bound what clients may do.
type LimitKeys struct {
	HTTPMaxConns     *int             `key:"http_max_conns_per_client" doc:"connections from one address; 0 is no limit"`
	HTTPMaxConnsAll  *int             `key:"http_max_conns" doc:"connections in all; 0 is no limit"`
	HTTPSHandshake   *time.Duration   `key:"https_handshake_timeout" doc:"time for a TLS handshake, and then for the header of a request"`
	RPCHandshake     *time.Duration   `key:"rpc_handshake_timeout" doc:"time for a TLS handshake on the server port"`
	RPCClientTimeout *time.Duration   `key:"rpc_client_timeout" reload:"yes" doc:"time until a forwarded request that does not block is answered"`
	RPCRate          *float64         `key:"rpc_rate" reload:"yes" doc:"API requests a second that an agent forwards to servers; -1 is no limit"`
	RPCMaxBurst      *int             `key:"rpc_max_burst" reload:"yes" doc:"of these at once"`
	RPCMaxConns      *int             `key:"rpc_max_conns_per_client" doc:"connections to the server port from one address; 0 is no limit"`
	KVMaxValueSize   *int             `key:"kv_max_value_size" doc:"longest value of a key"`
	TxnMaxReqLen     *int             `key:"txn_max_req_len" doc:"longest transaction"`
	Request          RequestLimitKeys `key:"request_limits"`
}

// RequestLimitKeys bound the API's reads and writes a second on a server.
type RequestLimitKeys struct {
	Mode      *string  `key:"mode" reload:"yes" doc:"disabled, permissive (log only) or enforcing"`
	ReadRate  *float64 `key:"read_rate" reload:"yes" doc:"reads a second; -1 is no limit"`
	WriteRate *float64 `key:"write_rate" reload:"yes" doc:"writes a second; -1 is no limit"`
}

// UIKeys are about the web UI.
type UIKeys struct {
	Enabled     *bool   `key:"enabled" doc:"serve the web UI"`
	Dir         *string `key:"dir" doc:"folder with another web UI, served below /ui/ instead of the built-in one"`
	ContentPath *string `key:"content_path" inert:"the web UI is at /ui/" doc:"URL path of the UI"`
}

// LogKeys are about the log.
type LogKeys struct {
	Level          *string        `key:"log_level" flag:"log-level" reload:"yes" doc:"TRACE, DEBUG, INFO, WARN or ERROR"`
	JSON           *bool          `key:"log_json" flag:"log-json" doc:"one JSON object per line"`
	File           *string        `key:"log_file" flag:"log-file" doc:"file, or folder ending in /, to log to besides stdout"`
	RotateBytes    *int           `key:"log_rotate_bytes" flag:"log-rotate-bytes" doc:"start a new log file at this size; 0 is never"`
	RotateDuration *time.Duration `key:"log_rotate_duration" flag:"log-rotate-duration" doc:"start a new log file after this time"`
	RotateMaxFiles *int           `key:"log_rotate_max_files" flag:"log-rotate-max-files" doc:"old log files kept; 0 is all, -1 none"`
	Syslog         *bool          `key:"enable_syslog" flag:"syslog" doc:"log to syslog besides"`
	SyslogFacility *string        `key:"syslog_facility" doc:"facility for syslog"`
	Telemetry      TelemetryKeys  `key:"telemetry"`
}

// TelemetryKeys are about metrics.
type TelemetryKeys struct {
	Prefix             *string        `key:"metrics_prefix" doc:"first part of every metric's name"`
	FilterDefault      *bool          `key:"filter_default" doc:"keep metrics that no filter names"`
	PrefixFilter       []string       `key:"prefix_filter" reload:"yes" doc:"+prefix keeps, -prefix drops metrics"`
	PrometheusRetained *time.Duration `key:"prometheus_retention_time" doc:"how long a metric that is no longer set is shown; 0 turns the Prometheus format off"`
	StatsdAddr         *string        `key:"statsd_address" doc:"host:port of a statsd to send metrics to"`
	StatsiteAddr       *string        `key:"statsite_address" doc:"host:port of a statsite to send metrics to"`
	DogstatsdAddr      *string        `key:"dogstatsd_addr" doc:"host:port of a DogStatsD to send metrics to"`
	DogstatsdTags      []string       `key:"dogstatsd_tags" inert:"a DogStatsD is sent what a statsd is, without tags" doc:"tags for all metrics sent there"`
	DisableHostname    *bool          `key:"disable_hostname" doc:"no host name in metric names"`
	HostMetrics        *bool          `key:"enable_host_metrics" inert:"the host's metrics are node_exporter's" doc:"metrics of the host besides those of the process"`
	RetryFailed        *bool          `key:"retry_failed_connection" inert:"a sink that cannot be reached never ends the agent" doc:"go on when a sink cannot be reached at start"`
}

// MiscKeys fit nowhere else.
type MiscKeys struct {
	DisableRemoteExec *bool     `key:"disable_remote_exec" doc:"refuse to run commands for berth exec"`
	DisableUpdate     *bool     `key:"disable_update_check" doc:"accepted; berth never calls home"`
	DisableSignature  *bool     `key:"disable_anonymous_signature" doc:"accepted; berth never calls home"`
	UseStreaming      *bool     `key:"use_streaming_backend" doc:"accepted; replicas always follow a stream"`
	RPC               RPCKeys   `key:"rpc"`
	Cache             FetchKeys `key:"cache"`
}

// RPCKeys is Consul's rpc section.
type RPCKeys struct {
	EnableStreaming *bool `key:"enable_streaming" doc:"accepted; servers always stream"`
}

// FetchKeys is Consul's cache section.
type FetchKeys struct {
	EntryFetchRate  *float64 `key:"entry_fetch_rate" doc:"accepted; the replica needs no fetches"`
	EntryFetchBurst *int     `key:"entry_fetch_max_burst" doc:"accepted; the replica needs no fetches"`
}
