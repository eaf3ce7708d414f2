//go:build fault

package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Addresses inside a host, where its own programs talk to berth.
const (
	httpAddr = "127.0.0.1:8500"
	dnsAddr  = "127.0.0.1:8600"
)

// statusError is an answer other than 200.
type statusError struct {
	code int
	body string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("status %d: %s", e.code, strings.TrimSpace(e.body))
}

// newHTTPClient makes a client whose connections begin inside the namespace.
func newHTTPClient(ns string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialIn(ctx, ns, network, addr)
		},
		MaxIdleConnsPerHost: 64, IdleConnTimeout: 10 * time.Second,
	}}
}

func dialIn(ctx context.Context, ns, network, addr string) (c net.Conn, err error) {
	err = inNS(ns, func() (err error) {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

// do sends a request to the host's own agent and reads the answer.
func (h *host) do(ctx context.Context, method, path, body string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+httpAddr+path, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	resp, err := h.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = &statusError{resp.StatusCode, string(b)}
	}
	return b, resp.Header, err
}

// requestLimit is how long a request of a test may take: longer than an agent waits for a leader.
const requestLimit = 15 * time.Second

func (h *host) get(path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestLimit)
	defer cancel()
	b, _, err := h.do(ctx, http.MethodGet, path, "")
	if err != nil {
		err = fmt.Errorf("%s: GET %s: %w", h.name, path, err)
	}
	return b, err
}

func (h *host) getJSON(path string, into any) error {
	b, err := h.get(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

func (h *host) put(path, body string) error { return h.putWithin(requestLimit, path, body) }

func (h *host) putWithin(limit time.Duration, path, body string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, _, err := h.do(ctx, http.MethodPut, path, body); err != nil {
		return fmt.Errorf("%s: PUT %s: %w", h.name, path, err)
	}
	return nil
}

// register registers a service with the host's agent.
func (h *host) register(id, name string, port int) error {
	return h.put("/v1/agent/service/register", fmt.Sprintf(`{"ID":%q,"Name":%q,"Port":%d}`, id, name, port))
}

// resolves is an error until name has exactly n addresses in this host's DNS.
func (h *host) resolves(name string, n int) error {
	got, rcode, err := h.lookup(name, 2*time.Second)
	if err == nil && len(got) != n {
		err = fmt.Errorf("%s on %s: %s %v, want %d answers", name, h.name, dns.RcodeToString[rcode], got, n)
	}
	return err
}

// lookup asks the host's own DNS server for addresses.
func (h *host) lookup(name string, limit time.Duration) (addrs []string, rcode int, err error) {
	conn, err := dialIn(context.Background(), h.ns, "udp", dnsAddr)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.TypeA)
	c := dns.Client{Timeout: limit}
	r, _, err := c.ExchangeWithConn(m, &dns.Conn{Conn: conn})
	if err != nil {
		return nil, 0, err
	}
	for _, rr := range r.Answer {
		if a, ok := rr.(*dns.A); ok {
			addrs = append(addrs, a.A.String())
		}
	}
	return addrs, r.Rcode, nil
}

// member is a line of /v1/agent/members.
type member struct {
	Name   string
	Addr   string
	Status int
	Tags   map[string]string
}

// Statuses of members, as the API gives them.
const (
	memberAlive  = 1
	memberLeft   = 3
	memberFailed = 4
)

func (h *host) members(wan bool) (map[string]member, error) {
	path := "/v1/agent/members"
	if wan {
		path += "?wan=1"
	}
	var all []member
	if err := h.getJSON(path, &all); err != nil {
		return nil, err
	}
	out := map[string]member{}
	for _, m := range all {
		out[m.Name] = m
	}
	return out, nil
}

// memberIs is an error until the host sees a LAN member with a status.
func (h *host) memberIs(name string, status int) error {
	all, err := h.members(false)
	if err == nil && all[name].Status != status {
		err = fmt.Errorf("%s sees %s with status %d, want %d", h.name, name, all[name].Status, status)
	}
	return err
}

// raftServer is a line of /v1/operator/raft/configuration.
type raftServer struct {
	ID, Node, Address string
	Leader, Voter     bool
}

func (h *host) raft() ([]raftServer, error) {
	var c struct{ Servers []raftServer }
	err := h.getJSON("/v1/operator/raft/configuration", &c)
	return c.Servers, err
}

// passing gives the IDs of a service's healthy instances as the host's local state has them.
func (h *host) passing(service string) ([]string, error) {
	var all []struct{ Service struct{ ID string } }
	if err := h.getJSON("/v1/health/service/"+service+"?passing&stale", &all); err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range all {
		ids = append(ids, e.Service.ID)
	}
	return ids, nil
}

// kvGet is the value of a key, read through a quorum; "" when it is missing.
func (h *host) kvGet(key string) (string, error) {
	b, err := h.get("/v1/kv/" + key + "?raw&consistent")
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusNotFound {
		return "", nil
	}
	return string(b), err
}
