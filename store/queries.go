package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"berth"
	"berth/store/command"
	"berth/store/state"
)

// errNoQuery is what clients get for a name that no prepared query has.
var errNoQuery = &berth.InvalidError{Status: http.StatusNotFound, Text: "Query not found"}

// nearWindow is how far down the asking node's own instance may stand to be moved to the top.
const nearWindow = 10

// QueryExecute runs a prepared query: instances of this datacenter, or, when there are none,
// of those that its failover names.
func (s *Store) QueryExecute(ctx context.Context, idOrName string, from berth.QuerySource, limit int) (*berth.QueryResult, berth.QueryMeta, error) {
	if s.node == nil {
		return s.executeAtServer(ctx, idOrName, from, limit)
	}
	q, err := s.QueryExplain(ctx, idOrName)
	if err != nil {
		return nil, s.meta(0), err
	}
	near := nearNode(s.state().Read(), &q.Service, from)
	res := &berth.QueryResult{Service: q.Service.Service, DNS: q.DNS, Datacenter: s.cfg.Datacenter, Nodes: s.queryHere(&q.Service, near)}
	if len(res.Nodes) == 0 {
		s.failOver(ctx, q, res)
	}
	if limit > 0 && len(res.Nodes) > limit {
		res.Nodes = res.Nodes[:limit]
	}
	return res, s.meta(s.state().Index()), nil
}

// QueryExplain gives the query that a name runs, its template filled in.
func (s *Store) QueryExplain(_ context.Context, idOrName string) (*berth.PreparedQuery, error) {
	q, re := s.state().Read().QueryLookup(idOrName)
	if q == nil {
		return nil, errNoQuery
	}
	if q.Template.Type == "" {
		return q, nil
	}
	return renderTemplate(q, re, idOrName)
}

// renderTemplate fills a template in for a name.
func renderTemplate(q *berth.PreparedQuery, re *regexp.Regexp, name string) (*berth.PreparedQuery, error) {
	var match []string
	if re != nil {
		match = re.FindStringSubmatch(name)
	}
	value := func(place string, n int) string {
		switch {
		case place == "name.full":
			return name
		case place == "name.prefix":
			return q.Name
		case place == "name.suffix":
			return name[min(len(q.Name), len(name)):]
		case place == "match" && n < len(match):
			return match[n]
		}
		return ""
	}
	var bad error
	fill := func(text string) string {
		out, err := berth.ExpandTemplate(text, value)
		if err != nil {
			bad = berth.Rejected("prepared query template: " + err.Error())
		}
		return out
	}
	out := *q
	sv := &out.Service
	sv.Service, sv.Near = fill(sv.Service), fill(sv.Near)
	sv.Tags = fillAll(sv.Tags, fill, q.Template.RemoveEmptyTags)
	sv.Failover.Datacenters = fillAll(sv.Failover.Datacenters, fill, false)
	sv.NodeMeta, sv.ServiceMeta = fillMap(sv.NodeMeta, fill), fillMap(sv.ServiceMeta, fill)
	return &out, bad
}

func fillAll(in []string, fill func(string) string, dropEmpty bool) []string {
	var out []string
	for _, t := range in {
		if t = fill(t); t != "" && t != "!" || !dropEmpty {
			out = append(out, t)
		}
	}
	return out
}

func fillMap(in map[string]string, fill func(string) string) map[string]string {
	if in == nil {
		return nil
	}
	out := make(map[string]string, len(in))
	for k, v := range in {
		out[k] = fill(v)
	}
	return out
}

// nearNode is the node by whose distance the answer is sorted; "": none.
func nearNode(r *state.Reader, q *berth.ServiceQuery, from berth.QuerySource) string {
	switch {
	case from.Near != "":
		return from.Near
	case q.Near == "_agent":
		return from.Agent
	case q.Near == "_ip":
		return nodeWith(r, from.IP)
	}
	return q.Near
}

// nodeWith is the name of the node with an address; "": none.
func nodeWith(r *state.Reader, ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	_, nodes := r.Nodes(nil)
	for _, n := range nodes {
		if a, err := netip.ParseAddr(n.Address); err == nil && a.Unmap() == ip {
			return n.Name
		}
	}
	return ""
}

// queryHere picks this datacenter's instances: healthy ones that fit, shuffled, then by
// distance from near.
func (s *Store) queryHere(q *berth.ServiceQuery, near string) []*berth.HealthEntry {
	r := s.state().Read()
	_, all := r.Service(nil, q.Service)
	out := keep(all, func(e *berth.HealthEntry) bool { return fits(q, e) })
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return nearFirst(r, out, near)
}

func nearFirst(r *state.Reader, out []*berth.HealthEntry, near string) []*berth.HealthEntry {
	out = sortNear(r, near, out, func(e *berth.HealthEntry) string { return e.Node.Name })
	for i := 1; i < min(len(out), nearWindow); i++ {
		if near != "" && out[i].Node.Name == near && out[0].Node.Name != near {
			e := out[i]
			out = slices.Insert(slices.Delete(out, i, i+1), 0, e)
			break
		}
	}
	return out
}

func fits(q *berth.ServiceQuery, e *berth.HealthEntry) bool {
	var checks []*berth.Check
	for _, c := range e.Checks {
		if !slices.Contains(q.IgnoreCheckIDs, c.CheckID) {
			checks = append(checks, c)
		}
	}
	switch berth.WorstStatus(checks) {
	case berth.StatusCritical:
		return false
	case berth.StatusWarning:
		if q.OnlyPassing {
			return false
		}
	}
	for _, t := range q.Tags {
		name, not := strings.CutPrefix(t, "!")
		has := slices.ContainsFunc(e.Service.Tags, func(x string) bool { return strings.EqualFold(x, name) })
		if has == not {
			return false
		}
	}
	return hasMeta(e.Service.Meta, q.ServiceMeta) && hasMeta(e.Node.Meta, q.NodeMeta)
}

// failOver asks the nearest datacenters and then the named ones, until one has instances.
func (s *Store) failOver(ctx context.Context, q *berth.PreparedQuery, res *berth.QueryResult) {
	f := q.Service.Failover
	var dcs []string
	if f.NearestN > 0 {
		others := s.Datacenters()[1:]
		dcs = append(dcs, others[:min(f.NearestN, len(others))]...)
	}
	for _, dc := range f.Datacenters {
		if !slices.Contains(dcs, dc) && dc != s.cfg.Datacenter {
			dcs = append(dcs, dc)
		}
	}
	for _, t := range f.Targets {
		if t.Peer == "" && t.Datacenter != "" && !slices.Contains(dcs, t.Datacenter) {
			dcs = append(dcs, t.Datacenter)
		}
	}
	for _, dc := range dcs {
		res.Failovers++
		nodes, err := s.queryAt(ctx, dc, &q.Service)
		if err != nil {
			s.log.Debug("prepared query fail-over", "datacenter", dc, "err", err)
			continue
		}
		if len(nodes) > 0 {
			res.Nodes, res.Datacenter = nodes, dc
			return
		}
	}
}

// wireQuery is a prepared query's execution between servers: by name in this datacenter, by
// its service part in another one.
type wireQuery struct {
	Name, Near, Agent, IP string
	Limit                 int
	Service               *berth.ServiceQuery
}

type wireQueryResult struct {
	Result *berth.QueryResult
	Index  uint64
}

func (s *Store) queryAt(ctx context.Context, dc string, q *berth.ServiceQuery) ([]*berth.HealthEntry, error) {
	var out wireQueryResult
	err := s.tryDatacenter(dc, func(addr string) error { return s.callQuery(ctx, addr, &wireQuery{Service: q}, &out) })
	if err != nil || out.Result == nil {
		return nil, err
	}
	return out.Result.Nodes, nil
}

func (s *Store) executeAtServer(ctx context.Context, name string, from berth.QuerySource, limit int) (*berth.QueryResult, berth.QueryMeta, error) {
	q := &wireQuery{Name: name, Near: from.Near, Agent: from.Agent, Limit: limit}
	if from.IP.IsValid() {
		q.IP = from.IP.String()
	}
	var out wireQueryResult
	err := s.route(ctx, false, func(ctx context.Context, addr string) error {
		return s.callQuery(ctx, addr, q, &out)
	})
	if err == nil && out.Result == nil {
		err = errNoQuery
	}
	return out.Result, s.meta(out.Index), err
}

func (s *Store) callQuery(ctx context.Context, addr string, q *wireQuery, out *wireQueryResult) error {
	var enc command.Encoder
	body, err := enc.Value(0, q)
	if err != nil {
		return err
	}
	b, err := s.call(ctx, http.MethodPost, addr, "/internal/store/query", body)
	if err != nil {
		return err
	}
	if len(b) == 0 {
		return errors.New("empty answer")
	}
	var dec command.Decoder
	return dec.Value(b[1:], out)
}

func (s *Store) serveQuery(w http.ResponseWriter, r *http.Request) {
	var q wireQuery
	if err := decodeBody(w, r, &q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var out wireQueryResult
	if q.Service != nil {
		out.Result = &berth.QueryResult{Service: q.Service.Service, Datacenter: s.cfg.Datacenter, Nodes: s.queryHere(q.Service, "")}
	} else {
		ip, _ := netip.ParseAddr(q.IP) // none: the client had no address
		res, m, err := s.QueryExecute(r.Context(), q.Name, berth.QuerySource{Near: q.Near, Agent: q.Agent, IP: ip}, q.Limit)
		if err != nil && !errors.Is(err, error(errNoQuery)) {
			answerError(w, err)
			return
		}
		out = wireQueryResult{Result: res, Index: m.Index}
	}
	var enc command.Encoder
	b, err := enc.Value(0, &out)
	if err != nil {
		answerError(w, err)
		return
	}
	_, _ = w.Write(b) // the caller sees a short body as an error
}
