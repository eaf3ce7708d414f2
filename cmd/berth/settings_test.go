package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"berth/internal/config"
	"berth/internal/testutil"
	"berth/store"
	"berth/store/gossip"
)

// loaded is the configuration of an agent with a bit of text.
func loaded(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Sources{Dev: true, Inline: []string{text}})
	testutil.NoError(t, err)
	return c
}

func TestSettings_Store(t *testing.T) {
	s := storeConfig(loaded(t, `
serf_lan: 127.0.0.2
serf_wan: 127.0.0.3
serf_lan_allowed_cidrs: [127.0.0.0/8]
serf_wan_allowed_cidrs: [10.0.0.1]
gossip_lan: {gossip_nodes: 5, gossip_interval: 10ms, probe_interval: 20ms, probe_timeout: 30ms, suspicion_mult: 6, retransmit_mult: 7}
gossip_wan: {probe_interval: 9s}
encrypt_verify_incoming: false
encrypt_verify_outgoing: false
disable_keyring_file: true
reconnect_timeout: 1h
reconnect_timeout_wan: 2h
advertise_reconnect_timeout: 90s
retry_interval: 5s
retry_interval_wan: 6s
raft_prevote_disabled: true
raft_logstore: {wal: {segment_size_mb: 3}}
limits:
  rpc_handshake_timeout: 4s
  rpc_client_timeout: 11s
  rpc_rate: 12.5
  rpc_max_burst: 13
  rpc_max_conns_per_client: 14
  request_limits: {mode: enforcing, read_rate: 15, write_rate: 16}
`), slog.Default())
	testutil.Equal(t, []string{s.Net.BindLAN, s.Net.BindWAN}, []string{"127.0.0.2", "127.0.0.3"})
	testutil.Equal(t, s.Net.AllowedLAN, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	testutil.Equal(t, s.Net.AllowedWAN, []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")})
	testutil.Equal(t, s.Gossip.LAN, gossip.Timing{GossipNodes: 5, GossipInterval: 10 * time.Millisecond, ProbeInterval: 20 * time.Millisecond,
		ProbeTimeout: 30 * time.Millisecond, SuspicionMult: 6, RetransmitMult: 7})
	testutil.Equal(t, s.Gossip.WAN.ProbeInterval, 9*time.Second)
	testutil.Equal(t, []bool{s.Gossip.TakeClear, s.Gossip.SendClear, s.Gossip.NoKeyringFile, s.Raft.NoPreVote}, []bool{true, true, true, true})
	testutil.Equal(t, []time.Duration{s.ReconnectAfter, s.Gossip.ReconnectAfterWAN, s.Gossip.ReconnectIn, s.Join.Interval, s.Join.IntervalWAN},
		[]time.Duration{time.Hour, 2 * time.Hour, 90 * time.Second, 5 * time.Second, 6 * time.Second})
	testutil.Equal(t, s.Raft.SegmentBytes, 3<<20)
	testutil.Equal(t, s.Limits, store.Limits{
		Handshake: 4 * time.Second, ConnsPerAddr: 14, ForwardTimeout: 11 * time.Second, ForwardRate: 12.5, ForwardBurst: 13,
		Mode: "enforcing", ReadRate: 15, WriteRate: 16,
	})
}

func TestSettings_DevIsFast(t *testing.T) {
	s := storeConfig(loaded(t, ""), slog.Default())
	testutil.Equal(t, s.Gossip.LAN.ProbeInterval, 100*time.Millisecond)
	testutil.Equal(t, s.Gossip.NoKeyringFile, true)
}

func TestSettings_Registrator(t *testing.T) {
	r := registratorConfig(loaded(t, `
advertise_addr_ipv6: fd00::5
registrator:
  allow_names: [web*]
  auto_tags: true
  all_bindings: true
  kubernetes: true
  flap_damping: false
  dead_ttl: 120
  restart_grace: 5s
  leave_on_exit: true
  allow_tag_templates: true
  allow_foreign_targets: true
  ip_from_container: true
  docker_tls_verify: false
`), slog.Default(), nil)
	testutil.Equal(t, r.NodeAddress6(), netip.MustParseAddr("fd00::5"))
	testutil.Equal(t, r.AllowNames, []string{"web*"})
	testutil.Equal(t, []bool{r.AutoTags, r.AllBindings, r.Kubernetes, r.LeaveOnExit, r.AllowTagTemplates, r.AllowForeignTargets, r.IPFromContainer, r.EngineTLS.SkipVerify, !*r.FlapDamping},
		[]bool{true, true, true, true, true, true, true, true, true})
	testutil.Equal(t, []time.Duration{r.DeadTTL, r.RestartGrace}, []time.Duration{2 * time.Minute, 5 * time.Second})
	turned := registratorConfig(loaded(t, "bind_addr: fd00::5\nadvertise_addr_ipv4: 192.0.2.5"), slog.Default(), nil)
	testutil.Equal(t, []netip.Addr{turned.NodeAddress(), turned.NodeAddress6()}, []netip.Addr{netip.MustParseAddr("192.0.2.5"), netip.MustParseAddr("fd00::5")})
	plain := registratorConfig(loaded(t, ""), slog.Default(), nil)
	testutil.Equal(t, []bool{plain.NodeAddress6 == nil, *plain.FlapDamping, plain.EngineTLS.SkipVerify}, []bool{true, true, false})
}

func TestSettings_HTTPAndDNS(t *testing.T) {
	dir := t.TempDir()
	testutil.NoError(t, os.WriteFile(filepath.Join(dir, "index.html"), []byte("my own page"), 0o600))
	c := loaded(t, "limits: {http_max_conns: 7, http_max_conns_per_client: 0, https_handshake_timeout: 3s}\ndns_config: {max_stale: 1m}\nui_config: {dir: "+dir+"}")
	h := httpConfig(c, slog.Default(), "id")
	testutil.Equal(t, []any{h.Limits.MaxConns, h.Limits.MaxConnsPerClient, h.Limits.HandshakeTimeout}, []any{7, -1, 3 * time.Second})
	rec := httptest.NewRecorder()
	h.UI.ServeHTTP(rec, httptest.NewRequest("GET", "/ui/", nil))
	testutil.Equal(t, rec.Body.String(), "my own page")
	testutil.Equal(t, dnsConfig(c, slog.Default()).Zone.MaxStale, time.Minute)
}

// TestSettings_NothingIsLeftBehind: every member of the configuration is read somewhere in this
// program, so no key is taken in and then forgotten.
func TestSettings_NothingIsLeftBehind(t *testing.T) {
	used := map[string]bool{}
	files, err := filepath.Glob("*.go")
	testutil.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		testutil.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				used[s.Sel.Name] = true
			}
			return true
		})
	}
	var look func(path string, typ reflect.Type)
	look = func(path string, typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !f.IsExported() {
				continue
			}
			if !used[f.Name] && typ != reflect.TypeFor[config.Pool]() { // converted as a whole
				t.Errorf("%s.%s of the configuration is used nowhere in cmd/berth", path, f.Name)
			}
			if f.Type.Kind() == reflect.Struct && f.Type.PkgPath() == "berth/internal/config" {
				look(path+"."+f.Name, f.Type)
			}
		}
	}
	look("Config", reflect.TypeFor[config.Config]())
}
