package httpapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth"
)

// preparedQuery is a prepared query in JSON; Consul shows some members of its enterprise edition.
type preparedQuery struct {
	ID          string
	Name        string
	Session     string
	Token       string
	Template    berth.QueryTemplate
	Service     serviceQuery
	DNS         berth.QueryDNSOptions
	CreateIndex uint64
	ModifyIndex uint64
}

type serviceQuery struct {
	Service        string
	SamenessGroup  string
	Failover       queryFailover
	OnlyPassing    bool
	IgnoreCheckIDs []string
	Near           string
	Tags           []string
	NodeMeta       map[string]string
	ServiceMeta    map[string]string
	Connect        bool
	Peer           string
}

type queryFailover struct {
	NearestN    int
	Datacenters []string
	Targets     []queryTarget
}

type queryTarget struct {
	Peer       string
	Datacenter string
	Partition  string `json:",omitempty"` // clients send them empty
	Namespace  string `json:",omitempty"`
}

// failover refuses targets that only the enterprise edition or the mesh could reach.
func (f *queryFailover) failover() (berth.QueryFailover, error) {
	out := berth.QueryFailover{NearestN: f.NearestN, Datacenters: f.Datacenters}
	for _, t := range f.Targets {
		if t.Peer != "" || t.Partition != "" || t.Namespace != "" {
			return out, berth.Invalid("Failover targets can only be datacenters: peers, partitions and namespaces are not supported")
		}
		out.Targets = append(out.Targets, berth.QueryFailoverTarget{Datacenter: t.Datacenter})
	}
	return out, nil
}

func newFailover(f berth.QueryFailover) queryFailover {
	out := queryFailover{NearestN: f.NearestN, Datacenters: f.Datacenters}
	for _, t := range f.Targets {
		out.Targets = append(out.Targets, queryTarget{Peer: t.Peer, Datacenter: t.Datacenter})
	}
	return out
}

func newPreparedQuery(q *berth.PreparedQuery) *preparedQuery {
	s := q.Service
	return &preparedQuery{ID: q.ID, Name: q.Name, Session: q.Session, Token: q.Token, Template: q.Template, DNS: q.DNS,
		CreateIndex: q.CreateIndex, ModifyIndex: q.ModifyIndex,
		Service: serviceQuery{Service: s.Service, Failover: newFailover(s.Failover), OnlyPassing: s.OnlyPassing, IgnoreCheckIDs: s.IgnoreCheckIDs,
			Near: s.Near, Tags: s.Tags, NodeMeta: s.NodeMeta, ServiceMeta: s.ServiceMeta, Connect: s.Connect}}
}

func (b *preparedQuery) query() (*berth.PreparedQuery, error) {
	s := b.Service
	switch {
	case s.SamenessGroup != "":
		return nil, berth.Invalid("Sameness groups are a Consul Enterprise feature")
	case s.Peer != "" || s.Connect:
		return nil, berth.Invalid("Service mesh queries (Peer, Connect) are not supported")
	}
	failover, err := s.Failover.failover()
	if err != nil {
		return nil, err
	}
	q := &berth.PreparedQuery{ID: b.ID, Name: b.Name, Session: b.Session, Token: b.Token, Template: b.Template, DNS: b.DNS,
		Service: berth.ServiceQuery{Service: s.Service, Failover: failover, OnlyPassing: s.OnlyPassing, IgnoreCheckIDs: s.IgnoreCheckIDs,
			Near: s.Near, Tags: s.Tags, NodeMeta: s.NodeMeta, ServiceMeta: s.ServiceMeta}}
	if err := checkQuery(q); err != nil {
		return nil, berth.Rejected("Invalid prepared query: " + err.Error())
	}
	return q, nil
}

// checkQuery refuses a definition that could never be executed.
func checkQuery(q *berth.PreparedQuery) error {
	f := q.Service.Failover
	switch {
	case q.Name == "" && q.Template.Type == "" && q.Session == "":
		return errors.New("Must be bound to a session") //nolint:staticcheck // clients match this text
	case q.Template.Type != "" && q.Template.Type != "name_prefix_match":
		return fmt.Errorf("Bad Template.Type '%s'", q.Template.Type) //nolint:staticcheck // clients match this text
	case q.Service.Service == "":
		return errors.New("Must provide a Service name to query") //nolint:staticcheck // clients match this text
	case f.NearestN < 0:
		return fmt.Errorf("Bad NearestN '%d', must be >= 0", f.NearestN) //nolint:staticcheck // clients match this text
	case len(f.Targets) > 0 && (f.NearestN != 0 || len(f.Datacenters) > 0):
		return errors.New("Targets cannot be populated with NearestN or Datacenters") //nolint:staticcheck // clients match this text
	}
	if _, err := regexp.Compile(q.Template.Regexp); err != nil {
		return fmt.Errorf("Bad Template.Regexp '%s': %w", q.Template.Regexp, err) //nolint:staticcheck // clients match this text
	}
	if err := checkTemplate(q); err != nil {
		return err
	}
	if ttl := q.DNS.TTL; ttl != "" {
		if d, err := time.ParseDuration(ttl); err != nil || d < 0 {
			return fmt.Errorf("Bad DNS TTL '%s', must be a duration that is not negative", ttl) //nolint:staticcheck // clients match this text
		}
	}
	return nil
}

// checkTemplate tries the places of a template.
func checkTemplate(q *berth.PreparedQuery) error {
	if q.Template.Type == "" {
		return nil
	}
	s := q.Service
	texts := slices.Concat([]string{s.Service, s.Near}, s.Tags, s.Failover.Datacenters, slices.Collect(maps.Values(s.NodeMeta)), slices.Collect(maps.Values(s.ServiceMeta)))
	for _, t := range texts {
		if _, err := berth.ExpandTemplate(t, func(string, int) string { return "" }); err != nil {
			return err
		}
	}
	return nil
}

func errQueryNotFound() error { return httpError(http.StatusNotFound, "Query not found") }

// queryList answers GET /v1/query.
func queryList(c *call) (any, error) {
	queries, err := read(c, c.s.cfg.Store.Queries)
	if err != nil {
		return nil, err
	}
	out := make([]*preparedQuery, len(queries))
	for i, q := range queries {
		out[i] = newPreparedQuery(q)
	}
	return out, nil
}

// queryCreate answers POST /v1/query.
func queryCreate(c *call) (any, error) {
	var body preparedQuery
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if body.ID != "" {
		return nil, berth.Rejected("ID must be empty when creating a new prepared query")
	}
	q, err := body.query()
	if err != nil {
		return nil, err
	}
	if err := c.authorize("query", Write, q.Name); err != nil {
		return nil, err
	}
	id, err := c.s.cfg.Store.QueryApply(c.ctx, "create", q)
	if err != nil {
		return nil, err
	}
	return struct{ ID string }{id}, nil
}

// queryGet answers GET /v1/query/<id>, /v1/query/<id or name>/execute and .../explain.
func queryGet(c *call) (any, error) {
	if name, ok := strings.CutSuffix(c.tail, "/execute"); ok {
		return c.queryExecute(name)
	}
	if name, ok := strings.CutSuffix(c.tail, "/explain"); ok {
		return c.queryExplain(name)
	}
	q, err := read(c, func(ctx context.Context, opts berth.QueryOptions) (*berth.PreparedQuery, berth.QueryMeta, error) {
		return c.s.cfg.Store.Query(ctx, c.tail, opts)
	})
	if err != nil {
		return nil, err
	}
	if q == nil {
		return nil, errQueryNotFound()
	}
	return []*preparedQuery{newPreparedQuery(q)}, nil
}

// queryChange answers PUT and DELETE /v1/query/<id>.
func queryChange(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing query ID")
	}
	if c.r.Method == http.MethodDelete {
		return c.queryDelete()
	}
	return c.queryUpdate()
}

func (c *call) queryUpdate() (any, error) {
	var body preparedQuery
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	body.ID = c.tail
	q, err := body.query()
	if err != nil {
		return nil, err
	}
	_, err = c.s.cfg.Store.QueryApply(c.ctx, "update", q)
	return nil, err
}

func (c *call) queryDelete() (any, error) {
	_, err := c.s.cfg.Store.QueryApply(c.ctx, "delete", &berth.PreparedQuery{ID: c.tail})
	return nil, err
}

func (c *call) queryExecute(name string) (any, error) {
	limit := 0
	if v := c.form.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return nil, berth.Rejected(fmt.Sprintf("Bad limit: %q is not a number above 0", v))
		}
		limit = n
	}
	if on, err := c.flag("connect"); on || err != nil {
		return nil, berth.Invalid("Service mesh queries (?connect) are not supported")
	}
	var meta berth.QueryMeta
	result, err := read(c, func(ctx context.Context, _ berth.QueryOptions) (*berth.QueryResult, berth.QueryMeta, error) {
		r, m, err := c.s.cfg.Store.QueryExecute(ctx, name, c.querySource(), limit)
		meta = m
		return r, m, err
	})
	if err != nil {
		return nil, err
	}
	if result == nil {
		return nil, errQueryNotFound()
	}
	meta.Index = max(meta.Index, 1)
	return struct {
		Service    string
		Nodes      healthList
		DNS        berth.QueryDNSOptions
		Datacenter string
		PeerName   string
		Failovers  int
		*queryMeta
	}{result.Service, result.Nodes, result.DNS, result.Datacenter, "", result.Failovers,
		newQueryMeta(meta, string(c.opts.Consistency))}, nil
}

func (c *call) queryExplain(name string) (any, error) {
	q, err := c.s.cfg.Store.QueryExplain(c.ctx, name)
	if err != nil {
		return nil, err
	}
	if q == nil {
		return nil, errQueryNotFound()
	}
	meta := berth.QueryMeta{Index: max(q.ModifyIndex, 1), KnownLeader: c.s.cfg.Store.Leader() != ""}
	c.setMeta(meta)
	return struct {
		Query *preparedQuery
		*queryMeta
	}{newPreparedQuery(q), newQueryMeta(meta, string(c.opts.Consistency))}, nil
}
