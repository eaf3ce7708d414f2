package config

import (
	"fmt"
	"path"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// ignored are keys of Consul's files that berth has no use for: each gives one warning. The
// pattern is a path.Match pattern over the dotted path.
var ignored = []struct{ pattern, why string }{
	{"connect", "there is no service mesh"},
	{"config_entries", "there is no service mesh"},
	{"enable_central_service_config", "there is no service mesh"},
	{"default_intention_policy", "there is no service mesh"},
	{"peering", "there is no peering"},
	{"xds", "there is no service mesh"},
	{"cloud", "berth never calls home"},
	{"segments", "there are no network segments"},
	{"segment", "there are no network segments"},
	{"partition", "there are no partitions"},
	{"license_path", "berth needs no license"},
	{"license_*", "berth needs no license"},
	{"audit", "there is no audit log"},
	{"reporting", "berth never calls home"},
	{"primary_gateways", "there are no mesh gateways"},
	{"primary_gateways_interval", "there are no mesh gateways"},
	{"server_name", "the TLS name is server.<datacenter>.<domain>"},
	{"experiments", "there are no experiments"},
	{"auto_encrypt", "encrypt alone secures the cluster"},
	{"auto_config", "encrypt alone secures the cluster"},
	{"protocol", "the gossip protocol is chosen by the members"},
	{"enable_acl_replication", "use acl.enable_token_replication"},
	{"ports.grpc", "there is no gRPC API"},
	{"ports.grpc_tls", "there is no gRPC API"},
	{"ports.sidecar_*", "there is no service mesh"},
	{"ports.expose_*", "there is no service mesh"},
	{"ports.proxy_*", "there is no service mesh"},
	{"addresses.grpc", "there is no gRPC API"},
	{"addresses.grpc_tls", "there is no gRPC API"},
	{"tls.grpc", "there is no gRPC API"},
	{"tls.*.use_auto_cert", "there is no gRPC API"},
	{"performance.grpc_keepalive_*", "there is no gRPC API"},
	{"telemetry.circonus_*", "metrics go to Prometheus, statsd or DogStatsD"},
	{"telemetry.disable_per_tenancy_usage_metrics", "there are no tenants"},
	{"telemetry.disable_compat_*", "there are no old metric names"},
	{"telemetry.enable_service_attr_metrics", "there are no old metric names"},
	{"raft_logstore.disable_log_cache", "the log store has no cache"},
	{"raft_logstore.verification", "the log store is always verified"},
	{"raft_logstore.boltdb", "the log store is the WAL"},
	{"ui_config.metrics_*", "the web UI shows no metrics"},
	{"ui_config.dashboard_url_templates", "the web UI shows no metrics"},
	{"acl.msp_*", "that is for enterprise"},
	{"acl.tokens.managed_service_provider", "that is for enterprise"},
	{"autopilot.redundancy_zone_tag", "that is for enterprise"},
	{"autopilot.disable_upgrade_migration", "that is for enterprise"},
	{"autopilot.upgrade_version_tag", "that is for enterprise"},
	{"limits.rpc_max_conns", "use limits.rpc_max_conns_per_client"},
	{"dns_config.prefer_namespace", "there are no namespaces"},
	{"service.proxy", "there is no service mesh"},
	{"service.connect", "there is no service mesh"},
	{"service.locality", "there is no service mesh"},
	{"service.namespace", "there are no namespaces"},
	{"service.partition", "there are no partitions"},
	{"services*.proxy", "there is no service mesh"},
	{"services*.connect", "there is no service mesh"},
	{"services*.locality", "there is no service mesh"},
	{"services*.namespace", "there are no namespaces"},
	{"services*.partition", "there are no partitions"},
	{"locality", "there is no service mesh"},
	{"version", "the program knows its own"},
	{"version_prerelease", "the program knows its own"},
	{"version_metadata", "the program knows its own"},
	{"revision", "the program knows its own"},
	{"build_date", "the program knows its own"},
	{"tls_prefer_server_cipher_suites", "the order of cipher suites is chosen by the program"},
	{"tls.*.tls_prefer_server_cipher_suites", "the order of cipher suites is chosen by the program"},
	{"raft_boltdb", "the log store is the WAL"},
	{"segment_limit", "there are no network segments"},
	{"segment_query_limit", "there are no network segments"},
	{"telemetry.disable_compat_*.*", "there are no old metric names"},
	{"acl_datacenter", "there is no access control in this version"},
	{"acl_default_policy", "there is no access control in this version"},
	{"acl_down_policy", "there is no access control in this version"},
	{"acl_ttl", "there is no access control in this version"},
	{"acl_enable_key_list_policy", "there is no access control in this version"},
	{"acl_*token", "there is no access control in this version"},
	{"acl.tokens.master", "there is no access control in this version"},
	{"acl.tokens.agent_master", "there is no access control in this version"},
	{"ae_interval", "users cannot set it"},
	{"check_deregister_interval_min", "users cannot set it"},
	{"check_reap_interval", "users cannot set it"},
	{"sync_coordinate_rate_target", "users cannot set it"},
	{"sync_coordinate_interval_min", "users cannot set it"},
	{"segment_name_limit", "users cannot set it"},
}

// warnInert tells the user which of the keys that were set have no effect. One that is set to
// its default is not worth a word.
func (b *builder) warnInert() {
	user, def := reflect.ValueOf(b.user).Elem(), reflect.ValueOf(Defaults()).Elem()
	for _, f := range leavesOf(reflect.TypeFor[File]()) {
		v, d := user.FieldByIndex(f.index), def.FieldByIndex(f.index)
		off := d.IsZero() && v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().IsZero()
		if f.inert == "" || v.IsZero() || off || reflect.DeepEqual(v.Interface(), d.Interface()) {
			continue
		}
		b.warn("%s is ignored: %s", f.path, f.inert)
	}
}

// ignoredWhy says why the key at full path is ignored, "" when it is not.
func ignoredWhy(full string) string {
	full = strings.ToLower(full)
	for _, i := range ignored {
		// In a pattern [ opens a class, so list positions are hidden from it.
		if ok, _ := path.Match(i.pattern, strings.NewReplacer("[", "", "]", "").Replace(full)); ok &&
			strings.Count(i.pattern, ".") == strings.Count(full, ".") {
			return i.why
		}
	}
	return ""
}

// unknown reports a key that is no field of its section.
func (d *decoder) unknown(key *yaml.Node, full string, in reflect.Type, fields []field) {
	if why := ignoredWhy(full); why != "" {
		d.warnings = append(d.warnings, fmt.Sprintf("%s:%d: %s is ignored: %s", d.name, key.Line, full, why))
		return
	}
	hint := ""
	keys := make([]string, 0, len(fields))
	for _, f := range fields {
		keys = append(keys, f.key)
	}
	if near := nearest(key.Value, keys); near != "" {
		hint = fmt.Sprintf(", did you mean %s?", near)
	} else if other := elsewhere(key.Value); other != "" && in == reflect.TypeFor[File]() {
		hint = fmt.Sprintf(", did you mean %s?", other)
	}
	d.fail(key, "invalid config key %s%s", full, hint)
}

// elsewhere finds a key of that name in any section.
func elsewhere(key string) string {
	for _, f := range leavesOf(reflect.TypeFor[File]()) {
		if plain(f.key) == plain(key) {
			return f.path
		}
	}
	return ""
}

// nearest is the word most like s, or "" when none is like it.
func nearest(s string, words []string) string {
	best, at := "", max(2, len(s)/3)+1
	for _, w := range words {
		if n := distance(plain(s), plain(w)); n < at {
			best, at = w, n
		}
	}
	return best
}

// distance counts insertions, deletions, changes and swaps of neighbours between a and b.
func distance(a, b string) int {
	if len(a) > 100 {
		return len(a)
	}
	prev2, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
		prev2, prev, row = prev, row, prev2
	}
	return prev[len(b)]
}
