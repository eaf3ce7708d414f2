package config_test

import (
	"flag"
	"strings"
	"testing"

	"berth/internal/config"
	"berth/internal/testutil"
)

// TestLoad_Refusals: what cannot be done is refused with the reason, never done by half.
func TestLoad_Refusals(t *testing.T) {
	for text, want := range map[string]string{
		"acl: {enabled: true}":                         "acl.enabled: this version has no access control, so the API would stay open",
		"registrator: {loopback: local}":               "registrator.loopback: local is not possible: all hosts see one catalog",
		"registrator: {ttl: 30}":                       "registrator.ttl and registrator.ttl_refresh go together",
		"registrator: {ttl: 30, ttl_refresh: 30}":      "ttl must be the longer one",
		"registrator: {retry_interval: 0}":             "registrator.retry_interval: 0s is not a positive time",
		"registrator: {dead_ttl: 0}":                   "registrator.dead_ttl: 0s is not a positive time",
		"dns_config: {max_stale: 1s}":                  "dns_config.max_stale: 1s is too short",
		"advertise_reconnect_timeout: 10ms":            "advertise_reconnect_timeout: 10ms is less than 1s",
		"limits: {request_limits: {mode: strict}}":     `limits.request_limits.mode: "strict" is not one of`,
		"limits: {http_max_conns: -1}":                 "limits.http_max_conns: -1 is not within",
		"limits: {rpc_handshake_timeout: 0s}":          "limits.rpc_handshake_timeout: 0s is not a positive time",
		"registrator: {name_port_suffix: sometimes}":   "registrator.name_port_suffix",
		"verify_incoming_https: true":                  "tls.https.verify_incoming needs ca_file or ca_path",
		"verify_incoming_rpc: true":                    "tls.internal_rpc.verify_incoming needs ca_file or ca_path",
		"tls: {internal_rpc: {verify_incoming: true}}": "tls.internal_rpc.verify_incoming needs ca_file or ca_path",
		"tls: {internal_rpc: {cert_file: a}}":          "tls.internal_rpc: cert_file and key_file go together",
		"serf_lan_allowed_cidrs: [everybody]":          `serf_lan_allowed_cidrs: "everybody" is not a network`,
	} {
		_, err := config.Load(sources(t, nil, "-dev", "-config", text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestLoad_KeysWithoutEffectWarn(t *testing.T) {
	for text, want := range map[string]string{
		"registrator: {cleanup: false}":               "registrator.cleanup is ignored: a host's services are handed over as a complete set, so there are no leftovers",
		"registrator: {cleanup: true}":                "",
		"registrator: {ttl: 60, ttl_refresh: 30}":     "registrator.ttl is ignored: the catalog has no leases",
		"registrator: {retry_attempts: 3}":            "registrator.retry_attempts is ignored: Docker is waited for without an end",
		"ui_config: {content_path: /x/}":              "ui_config.content_path is ignored: the web UI is at /ui/",
		"telemetry: {enable_host_metrics: true}":      "telemetry.enable_host_metrics is ignored",
		"telemetry: {retry_failed_connection: false}": "telemetry.retry_failed_connection is ignored",
		"acl: {tokens: {agent: x}}":                   "acl.tokens are ignored",
		"registrator: {auto_tags: true}":              "",
		"registrator: {retry_interval: 2000}":         "",
		"acl: {enabled: false, default_policy: deny}": "",
		"acl: {tokens: {master: x}}":                  "acl.tokens.master is ignored: there is no access control",
		"acl_agent_token: x":                          "acl_agent_token is ignored: there is no access control",
		"acl_default_policy: deny":                    "acl_default_policy is ignored: there is no access control",
		"version: '1.21'":                             "version is ignored: the program knows its own",
		"ports: {https: 8501}":                        "ports.https is ignored: there is no certificate, set tls.https.cert_file and key_file",
		"verify_incoming_https: false":                "",
		"tls_min_version: tls12":                      "",
		"tls: {https: {tls_min_version: TLSv1_0}}":    "tls.https.tls_min_version = TLSv1_0 is ignored: TLSv1_2 is the oldest that is spoken",
		"tls_prefer_server_cipher_suites: true":       "tls_prefer_server_cipher_suites is ignored",
		"telemetry: {disable_compat_1.9: true}":       "telemetry.disable_compat_1.9 is ignored",
		"watches: [{type: connect_roots, args: [x]}]": "watches[0] is ignored: type connect_roots: there is no service mesh",
		"registrator: {docker: off}":                  "",
	} {
		got := strings.Join(load(t, "-dev", "-config", text).Warnings, "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestRegistratorFlags_HaveAllOptions(t *testing.T) {
	fs := flag.NewFlagSet("registrator", flag.ContinueOnError)
	f := config.RegistratorFlags(fs)
	testutil.NoError(t, fs.Parse([]string{
		"-dev", "-allow-names", "web*", "-allow-names", "db", "-auto-tags", "-all-bindings", "-kubernetes", "-flap-damping=false",
		"-dead-ttl", "120", "-restart-grace", "5s", "-leave-on-exit", "-allow-tag-templates", "-allow-foreign-targets",
		"-ip-from-container", "-docker-tls-verify=false", "-name-port-suffix", "proto",
	}))
	src := f.Sources(nil)
	src.Host = oneNIC
	plain, err := config.Load(src)
	testutil.NoError(t, err)
	agent := load(t, "-dev", "-config", "registrator: {profile: registrator}",
		"-docker-allow-names", "web*,db", "-docker-auto-tags", "-docker-all-bindings", "-docker-kubernetes",
		"-docker-flap-damping=false", "-docker-dead-ttl", "2m", "-docker-restart-grace", "5", "-docker-leave-on-exit",
		"-docker-allow-tag-templates", "-docker-allow-foreign-targets", "-docker-ip-from-container", "-docker-tls-verify=false",
		"-docker-name-port-suffix", "proto")
	testutil.Equal(t, plain.Registrator, agent.Registrator)
	testutil.Equal(t, plain.Registrator.Names.AllowNames, []string{"web*", "db"})
}
