package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"berth"
)

// raftConfiguration answers GET /v1/operator/raft/configuration.
func raftConfiguration(c *call) (any, error) {
	servers, index, err := c.s.cfg.Store.RaftConfiguration(c.ctx)
	if err != nil {
		return nil, err
	}
	return struct {
		Servers []berth.Server
		Index   uint64
	}{list(servers), index}, nil
}

// raftTransferLeader answers POST /v1/operator/raft/transfer-leader.
func raftTransferLeader(c *call) (any, error) {
	if err := c.s.cfg.Store.TransferLeader(c.ctx, c.form.Get("id")); err != nil {
		return nil, err
	}
	return struct{ Success bool }{true}, nil
}

// raftRemovePeer answers DELETE /v1/operator/raft/peer.
func raftRemovePeer(c *call) (any, error) {
	id, address := c.form.Get("id"), c.form.Get("address")
	switch {
	case id == "" && address == "":
		return nil, berth.Invalid("Must specify either ?id with the server's ID or ?address with IP:port of peer to remove")
	case id != "" && address != "":
		return nil, berth.Invalid("Must specify only one of ?id or ?address")
	}
	return nil, c.s.cfg.Store.RaftRemovePeer(c.ctx, id, address)
}

// maxRelay is the largest number of nodes through which keyring answers may be relayed.
const maxRelay = 5

// keyring answers /v1/operator/keyring: GET lists, POST installs, PUT uses, DELETE removes a key.
func keyring(c *call) (any, error) {
	ops := map[string]string{http.MethodGet: "list", http.MethodHead: "list", http.MethodPost: "install", http.MethodPut: "use", http.MethodDelete: "remove"}
	op := ops[c.r.Method]
	relay, err := c.relayFactor()
	if err != nil {
		return nil, err
	}
	localOnly, err := c.flag("local-only")
	if err != nil {
		return nil, berth.Invalid(fmt.Sprintf("Error parsing local-only: %v", err))
	}
	if localOnly && op != "list" {
		return nil, berth.Invalid("local-only can only be used when listing keys")
	}
	var body struct{ Key string }
	if op != "list" {
		if err := c.decode(&body); err != nil {
			return nil, err
		}
		if body.Key == "" {
			return nil, berth.Invalid("Missing key")
		}
	}
	responses, err := c.s.cfg.Store.Keyring(c.ctx, op, body.Key, relay, localOnly)
	if err != nil {
		return nil, err
	}
	if err := keyringErrors(responses); err != nil {
		return nil, err
	}
	if op != "list" {
		return nil, nil
	}
	return list(responses), nil
}

func (c *call) relayFactor() (int, error) {
	v := c.form.Get("relay-factor")
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, berth.Invalid(fmt.Sprintf("Error parsing relay factor: %v", err))
	}
	if n < 0 || n > maxRelay {
		return 0, berth.Invalid(fmt.Sprintf("Relay factor %d is not between 0 and %d", n, maxRelay))
	}
	return n, nil
}

// keyringErrors joins what the pools complain about.
func keyringErrors(responses []berth.KeyringResponse) error {
	var errs []error
	for _, r := range responses {
		if r.Error == "" {
			continue
		}
		pool := "LAN"
		if r.WAN {
			pool = "WAN"
		}
		errs = append(errs, fmt.Errorf("%s (%s): %s", r.Datacenter, pool, r.Error))
	}
	return errors.Join(errs...)
}

// autopilotConfig answers GET /v1/operator/autopilot/configuration.
func autopilotConfig(c *call) (any, error) {
	config, err := c.s.cfg.Store.AutopilotConfig()
	if err != nil {
		return nil, err
	}
	return config, nil
}

// autopilotSet answers PUT /v1/operator/autopilot/configuration.
func autopilotSet(c *call) (any, error) {
	var body *berth.AutopilotConfig
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if body == nil {
		return nil, berth.Invalid(decodeFailed + "the configuration is null; send all of it")
	}
	config := *body
	if config.LastContactThreshold < 0 || config.ServerStabilizationTime < 0 {
		return nil, berth.Invalid("LastContactThreshold and ServerStabilizationTime must not be negative")
	}
	cas := c.has("cas")
	if cas {
		n, err := strconv.ParseUint(c.form.Get("cas"), 10, 64)
		if err != nil {
			return nil, berth.Invalid(fmt.Sprintf("Error parsing cas value: %v", err))
		}
		config.ModifyIndex = n
	}
	done, err := c.s.cfg.Store.SetAutopilotConfig(c.ctx, config, cas)
	if err != nil {
		return nil, err
	}
	return done, nil
}

// autopilotHealth answers GET /v1/operator/autopilot/health; the status tells the health, too.
func autopilotHealth(c *call) (any, error) {
	health, err := c.s.cfg.Store.AutopilotHealth()
	if err != nil {
		return nil, err
	}
	health.Servers = list(health.Servers)
	status := http.StatusOK
	if !health.Healthy {
		status = http.StatusTooManyRequests
	}
	return &reply{status: status, value: health}, nil
}

// autopilotServer is a server in the answer of autopilotState.
type autopilotServer struct {
	ID          string
	Name        string
	Address     string
	NodeStatus  string
	Version     string
	LastContact berth.Duration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	StableSince any
	Status      string // leader, voter or non-voter
	NodeType    string
	Meta        map[string]string
}

// autopilotState answers GET /v1/operator/autopilot/state.
func autopilotState(c *call) (any, error) {
	health, err := c.s.cfg.Store.AutopilotHealth()
	if err != nil {
		return nil, err
	}
	out := struct {
		Healthy                    bool
		FailureTolerance           int
		OptimisticFailureTolerance int
		Servers                    map[string]autopilotServer
		Leader                     string
		Voters                     []string
	}{Healthy: health.Healthy, FailureTolerance: health.FailureTolerance, OptimisticFailureTolerance: health.FailureTolerance,
		Servers: make(map[string]autopilotServer, len(health.Servers)), Voters: []string{}}
	for _, s := range health.Servers {
		status := "non-voter"
		if s.Voter {
			status = "voter"
			out.Voters = append(out.Voters, s.ID)
		}
		if s.Leader {
			status = "leader"
			out.Leader = s.ID
		}
		out.Servers[s.ID] = autopilotServer{ID: s.ID, Name: s.Name, Address: s.Address, NodeStatus: s.SerfStatus, Version: s.Version,
			LastContact: s.LastContact, LastTerm: s.LastTerm, LastIndex: s.LastIndex, Healthy: s.Healthy, StableSince: s.StableSince,
			Status: status, NodeType: "voter", Meta: map[string]string{}}
	}
	return out, nil
}

// usageCounts is a datacenter's usage in JSON.
type usageCounts struct {
	Services                 int
	ServiceInstances         int
	ConnectServiceInstances  map[string]int
	BillableServiceInstances int // all but the servers' own
	Nodes                    int
}

// operatorUsage answers GET /v1/operator/usage; with ?global for all datacenters.
func operatorUsage(c *call) (any, error) {
	var meta berth.QueryMeta
	usage, err := read(c, func(ctx context.Context, q berth.QueryOptions) (berth.Usage, berth.QueryMeta, error) {
		u, m, err := c.s.cfg.Store.Usage(ctx, q)
		meta = m
		return u, m, err
	})
	if err != nil {
		return nil, err
	}
	servers, _, err := c.s.cfg.Store.Service(c.ctx, berth.ConsulServiceName, berth.QueryOptions{Consistency: berth.ConsistencyStale, Token: c.opts.Token})
	if err != nil {
		return nil, err
	}
	mesh := make(map[string]int)
	for _, kind := range []string{"api-gateway", "connect-native", "connect-proxy", "ingress-gateway", "mesh-gateway", "terminating-gateway"} {
		mesh[kind] = 0
	}
	counts := map[string]usageCounts{c.s.cfg.Self.Datacenter: {Services: usage.Services, ServiceInstances: usage.ServiceInstances,
		ConnectServiceInstances: mesh, BillableServiceInstances: usage.ServiceInstances - len(servers), Nodes: usage.Nodes}}
	if c.has("global") {
		for _, dc := range c.s.cfg.Store.Datacenters() {
			if dc == c.s.cfg.Self.Datacenter {
				continue
			}
			if err := c.remoteUsage(dc, counts); err != nil {
				return nil, err
			}
		}
	}
	return struct {
		Usage map[string]usageCounts
		*queryMeta
	}{counts, newQueryMeta(meta, string(c.opts.Consistency))}, nil
}

// remoteUsage asks another datacenter for its usage.
func (c *call) remoteUsage(dc string, into map[string]usageCounts) error {
	r := c.r.Clone(c.ctx)
	r.URL.RawQuery = "dc=" + dc
	r.Header.Del("Accept-Encoding")
	var w recorder
	if !c.s.cfg.Store.Forward(&w, r, berth.Route{Datacenter: dc}) {
		return fmt.Errorf("usage of datacenter %s: %w", dc, berth.ErrNoPath)
	}
	if w.status != 0 && w.status != http.StatusOK {
		return fmt.Errorf("usage of datacenter %s: %s", dc, bytes.TrimSpace(w.body.Bytes()))
	}
	var answer struct{ Usage map[string]usageCounts }
	if err := json.Unmarshal(w.body.Bytes(), &answer); err != nil {
		return fmt.Errorf("usage of datacenter %s: %w", dc, err)
	}
	for name, counts := range answer.Usage {
		into[name] = counts
	}
	return nil
}

// recorder keeps an answer that another host gave.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

func (w *recorder) WriteHeader(status int) { w.status = status }

func (w *recorder) Write(p []byte) (int, error) { return w.body.Write(p) }
