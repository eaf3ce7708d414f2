package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/testutil"
)

// consulKeys has every key of Consul's configuration that concerns discovery, with a value of
// its type. Mesh and enterprise keys follow in ignoredKeys.
const consulKeys = `
datacenter: dc1
primary_datacenter: dc1
node_name: n1
node_id: 11111111-2222-3333-4444-555555555555
node_meta: {rack: 1}
disable_host_node_id: true
data_dir: /d
pid_file: /p
server: true
bootstrap: false
bootstrap_expect: 1
bind_addr: 10.1.2.3
client_addr: 127.0.0.1
advertise_addr: 10.1.2.3
advertise_addr_ipv4: 10.1.2.3
advertise_addr_ipv6: fd00::3
advertise_addr_wan: 192.0.2.1
advertise_addr_wan_ipv4: 192.0.2.1
advertise_addr_wan_ipv6: fd00::4
addresses: {dns: 127.0.0.1, http: "unix:///s", https: 127.0.0.1}
ports: {dns: 8600, http: 8500, https: -1, serf_lan: 8301, serf_wan: 8302, server: 8300}
serf_lan: 10.1.2.3
serf_wan: 10.1.2.3
serf_lan_allowed_cidrs: [10.0.0.0/8]
serf_wan_allowed_cidrs: [10.0.0.0/8]
tagged_addresses: {wan: 192.0.2.1}
translate_wan_addrs: true
retry_join: [a]
retry_interval: 30s
retry_max: 0
retry_join_wan: [b]
retry_interval_wan: 30s
retry_max_wan: 0
start_join: [c]
start_join_wan: [d]
rejoin_after_leave: true
leave_on_terminate: true
skip_leave_on_interrupt: true
server_rejoin_age_max: 168h
reconnect_timeout: 8h
reconnect_timeout_wan: 8h
advertise_reconnect_timeout: 1h
encrypt: MDEyMzQ1Njc4OTAxMjM0NQ==
encrypt_verify_incoming: true
encrypt_verify_outgoing: true
disable_keyring_file: true
gossip_lan: {gossip_nodes: 3, gossip_interval: 200ms, probe_interval: 1s, probe_timeout: 500ms, suspicion_mult: 4, retransmit_mult: 4}
gossip_wan: {gossip_nodes: 3, gossip_interval: 500ms, probe_interval: 5s, probe_timeout: 3s, suspicion_mult: 6, retransmit_mult: 4}
domain: consul.
alt_domain: corp
recursors: [8.8.8.8]
dns_config:
  allow_stale: true
  max_stale: 87600h
  node_ttl: 0s
  service_ttl: {"*": 0s}
  only_passing: false
  udp_answer_limit: 3
  a_record_limit: 0
  enable_truncate: false
  disable_compression: false
  recursor_strategy: sequential
  recursor_timeout: 2s
  enable_additional_node_meta_txt: true
  soa: {refresh: 3600, retry: 600, expire: 86400, min_ttl: 0}
  use_cache: false
  cache_max_age: 0s
http_config: {block_endpoints: [/v1/kv], allow_write_http_from: [127.0.0.0/8], response_headers: {X: y}, use_cache: true, max_header_bytes: 0}
default_query_time: 300s
max_query_time: 600s
discovery_max_stale: 0s
service: {name: a}
services: [{name: b}]
check: {name: c, ttl: 1s}
checks: [{name: d, ttl: 1s}]
enable_script_checks: false
enable_local_script_checks: false
enable_agent_tls_for_checks: false
check_update_interval: 5m
check_output_max_size: 4096
discard_check_output: false
disable_remote_exec: true
watches: [{type: nodes, args: [x]}]
session_ttl_min: 10s
limits:
  http_max_conns_per_client: 200
  https_handshake_timeout: 5s
  rpc_handshake_timeout: 5s
  rpc_client_timeout: 60s
  rpc_rate: -1
  rpc_max_burst: 1000
  rpc_max_conns_per_client: 100
  kv_max_value_size: 524288
  txn_max_req_len: 524288
  request_limits: {mode: disabled, read_rate: -1, write_rate: 1.5}
performance: {raft_multiplier: 5, leave_drain_time: 5s, rpc_hold_timeout: 7s}
raft_protocol: 3
raft_snapshot_threshold: 16384
raft_snapshot_interval: 30s
raft_trailing_logs: 10240
raft_prevote_disabled: false
raft_logstore: {backend: default, wal: {segment_size_mb: 64}}
autopilot: {cleanup_dead_servers: true, last_contact_threshold: 200ms, max_trailing_logs: 250, min_quorum: 0, server_stabilization_time: 10s}
acl:
  enabled: false
  default_policy: allow
  down_policy: extend-cache
  token_ttl: 30s
  policy_ttl: 30s
  role_ttl: 30s
  enable_token_persistence: false
  enable_token_replication: false
  enable_key_list_policy: false
  tokens: {initial_management: a, default: b, agent: c, agent_recovery: d, replication: e, dns: f, config_file_service_registration: g}
tls:
  defaults: {ca_file: a, ca_path: b, cert_file: c, key_file: d, tls_min_version: TLSv1_2, tls_cipher_suites: x, verify_incoming: true, verify_outgoing: true}
  internal_rpc: {verify_server_hostname: true}
  https: {verify_incoming: false}
log_level: INFO
log_json: false
log_file: /l
log_rotate_bytes: 0
log_rotate_duration: 24h
log_rotate_max_files: 0
enable_syslog: false
syslog_facility: LOCAL0
telemetry:
  metrics_prefix: consul
  filter_default: true
  prefix_filter: [+a]
  prometheus_retention_time: 0s
  statsd_address: a:1
  statsite_address: a:1
  dogstatsd_addr: a:1
  dogstatsd_tags: [a]
  disable_hostname: false
  enable_host_metrics: false
  retry_failed_connection: true
ui_config: {enabled: true, dir: /u, content_path: /ui/}
ui: true
ui_dir: /u
ui_content_path: /ui/
unix_sockets: {user: a, group: b, mode: "0600"}
cache: {entry_fetch_rate: 1, entry_fetch_max_burst: 2}
use_streaming_backend: true
rpc: {enable_streaming: true}
disable_coordinates: false
disable_update_check: false
disable_anonymous_signature: false
disable_http_unprintable_char_filter: false
enable_debug: false
auto_reload_config: false
ca_file: a
ca_path: b
cert_file: c
key_file: d
tls_min_version: TLSv1_2
tls_cipher_suites: x
verify_incoming: true
verify_outgoing: true
verify_server_hostname: true
`

// ignoredKeys give one warning each.
const ignoredKeys = `
ports: {grpc: 8502, grpc_tls: 8503, sidecar_min_port: 1, sidecar_max_port: 2, expose_min_port: 1, expose_max_port: 2, proxy_min_port: 1, proxy_max_port: 2}
addresses: {grpc: 127.0.0.1, grpc_tls: 127.0.0.1}
tls: {grpc: {use_auto_cert: true}}
performance: {grpc_keepalive_timeout: 20s, grpc_keepalive_interval: 30s}
raft_logstore: {disable_log_cache: true, verification: {enabled: true}, boltdb: {no_freelist_sync: true}}
telemetry: {circonus_api_token: x, disable_per_tenancy_usage_metrics: true}
auto_encrypt: {tls: true}
auto_config: {enabled: true}
connect: {enabled: true}
config_entries: {bootstrap: []}
peering: {enabled: true}
xds: {update_max_per_second: 1}
cloud: {}
segments: []
segment: a
partition: a
license_path: /l
audit: {enabled: true}
reporting: {}
default_intention_policy: allow
enable_central_service_config: true
primary_gateways: [a]
primary_gateways_interval: 30s
server_name: x
ae_interval: 1m
check_deregister_interval_min: 1m
check_reap_interval: 30s
sync_coordinate_rate_target: 64
sync_coordinate_interval_min: 15s
segment_name_limit: 64
`

func TestKeys_EveryKeyOfConsulIsTaken(t *testing.T) {
	c := load(t, "-config-file", write(t, "c.yaml", consulKeys))
	testutil.Equal(t, c.Warnings, []string{
		"acl.tokens are ignored: without acl.enabled nothing asks for a token",
		"telemetry.dogstatsd_tags is ignored: a DogStatsD is sent what a statsd is, without tags",
	})
	testutil.Equal(t, c.Join.LAN, []string{"a", "c"})
	testutil.Equal(t, c.Addrs.AdvertiseWAN.String(), "192.0.2.1")
	testutil.Equal(t, c.Raft.Multiplier, 5)
	testutil.Equal(t, len(c.Definitions.Services), 2)
	testutil.Equal(t, len(c.Definitions.Checks), 2)
	testutil.Equal(t, c.DNS.Zone.NodeMetaTXT, true)
	testutil.Equal(t, c.DNS.Forward.Policy, "sequential")
	testutil.Equal(t, c.TLS.RPC.VerifyServerHostname, true)
	testutil.Equal(t, []bool{c.TLS.RPC.VerifyIncoming, c.TLS.HTTPS.VerifyIncoming}, []bool{true, false})
}

func TestKeys_ForeignKeysGiveOneWarningEach(t *testing.T) {
	c := load(t, "-data-dir", "/d", "-config-file", write(t, "c.yaml", ignoredKeys))
	want := 0
	for line := range strings.Lines(ignoredKeys) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ": "); name {
		case "":
		case "ports", "addresses", "tls", "performance", "raft_logstore", "telemetry":
			depth := 0
			for _, ch := range value {
				switch ch {
				case '{':
					depth++
				case '}':
					depth--
				case ':':
					if depth == 1 {
						want++
					}
				}
			}
		default:
			want++
		}
	}
	testutil.Equal(t, len(c.Warnings), want)
	for _, w := range c.Warnings {
		if !strings.Contains(w, " is ignored: ") {
			t.Errorf("warning %q", w)
		}
	}
}

func TestValidate_ChecksFilesWithoutFlags(t *testing.T) {
	_, err := config.Validate([]string{write(t, "c.yaml", "server: true\nbootstrap_expect: 3\n")})
	testutil.NoError(t, err)
	_, err = config.Validate([]string{filepath.Join(t.TempDir(), "none.yaml")})
	if err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a missing file gives %v", err)
	}
}

func TestReadServices(t *testing.T) {
	defs, err := config.ReadServices([]string{write(t, "web.json", `{"services": [{"name": "web", "port": 80}, {"name": "db"}]}`)})
	testutil.NoError(t, err)
	testutil.Equal(t, []string{defs[0].Name, defs[1].ID}, []string{"web", "db"})
	_, err = config.ReadServices([]string{write(t, "none.yaml", "node_name: x\n")})
	if err == nil || !strings.Contains(err.Error(), "no service is defined there") {
		t.Errorf("a file without services gives %v", err)
	}
}

// FuzzLoad: no input may panic, and what is accepted loads the same twice.
func FuzzLoad(f *testing.F) {
	f.Add(consulKeys)
	f.Add(ignoredKeys)
	for _, name := range []string{"testdata/server.yaml", "testdata/consul.json"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("a: &a [*a]\n")
	f.Add("watches: &w [{type: key, key: *w}]\n")
	f.Add("? [x]\n: y\n")
	f.Add("<<: {server: true}\n")
	f.Add("services: [[{name: a}], null, 3]\n")
	f.Add("ports: [{http: 1}]\nnode_meta: [{a: 1}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		src := config.Sources{Inline: []string{text}, Host: oneNIC}
		c, err := config.Load(src)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without text")
			}
			return
		}
		if c.Node.Name == "" || !c.Addrs.Advertise.IsValid() {
			t.Errorf("incomplete configuration accepted: %+v", c)
		}
		if _, err := c.Reload(); err != nil {
			t.Errorf("loads once, then %v", err)
		}
	})
}
