package fsm_test

import (
	"fmt"
	"math/rand/v2"

	"berth"
	"berth/store/command"
)

// gen makes random commands about few things, so that they meet.
type gen struct {
	r   *rand.Rand
	now int64
}

func newGen(seed uint64) *gen { return &gen{r: rand.New(rand.NewPCG(seed, 7))} }

var (
	nodeNames    = []string{"a", "b", "c", "B", "a"}
	serviceNames = []string{"web", "db", "Web", "api"}
	serviceIDs   = []string{"s1", "s2", "s3"}
	checkIDs     = []string{berth.NodeHealthCheckID, "c1", "c2", "C2"}
	statuses     = []string{berth.StatusPassing, berth.StatusPassing, berth.StatusWarning, berth.StatusCritical, ""}
	kvKeys       = []string{"k", "k/1", "k/2", "m"}
	sessionIDs   = []string{"session-1", "session-2", "session-3"}
	queryIDs     = []string{"query-1", "query-2"}
	addresses    = []string{"10.0.0.1", "10.0.0.2", "host.example", "2001:db8::1", ""}
)

func pick[T any](g *gen, from []T) T { return from[g.r.IntN(len(from))] }

func (g *gen) maybe() bool { return g.r.IntN(2) == 0 }

func (g *gen) next() command.Command {
	g.now += g.r.Int64N(3) * 1e9
	switch n := g.r.IntN(20); {
	case n < 9:
		return g.catalog()
	case n < 13:
		return &command.KV{Now: g.now, Op: g.kv()}
	case n < 15:
		return &command.Session{Now: g.now, Verb: pick(g, []string{command.VerbCreate, command.VerbCreate, command.VerbDestroy, "zap"}), Session: g.session()}
	case n < 17:
		return g.txn()
	case n == 17:
		return pick(g, []command.Command{
			&command.Coordinates{Updates: []berth.NodeCoordinate{{Node: pick(g, nodeNames), Coord: &berth.Coordinate{Vec: []float64{float64(g.r.IntN(2))}}}}},
			&command.Autopilot{Config: berth.AutopilotConfig{MinQuorum: uint(g.r.IntN(3)), ModifyIndex: g.r.Uint64N(9)}, CAS: g.maybe()},
			&command.Reap{Now: g.now, Index: g.r.Uint64N(300)},
		})
	case n == 18:
		return &command.Query{Verb: pick(g, []string{command.VerbCreate, command.VerbUpdate, command.VerbDelete, "zap"}), Query: g.query()}
	}
	b := &command.Batch{}
	for range g.r.IntN(6) {
		if c := g.next(); c.Type() != command.TypeBatch {
			m, err := command.Encode(c)
			if err != nil {
				panic(err)
			}
			b.Members = append(b.Members, m)
		}
	}
	return b
}

func (g *gen) catalog() *command.Catalog {
	c := &command.Catalog{Now: g.now}
	for range 1 + g.r.IntN(3) {
		if g.r.IntN(4) == 0 {
			c.Ops = append(c.Ops, berth.CatalogOp{Deregister: g.deregistration()})
		} else {
			c.Ops = append(c.Ops, berth.CatalogOp{Register: g.registration()})
		}
	}
	return c
}

func (g *gen) deregistration() *berth.Deregistration {
	d := &berth.Deregistration{Node: pick(g, nodeNames)}
	switch g.r.IntN(5) {
	case 0, 1:
		d.ServiceID = pick(g, serviceIDs)
		d.Owner = pick(g, []string{"", "", "o1"})
	case 2, 3:
		d.CheckID = pick(g, checkIDs)
	}
	return d
}

func (g *gen) registration() *berth.Registration {
	r := &berth.Registration{Node: pick(g, nodeNames), Address: pick(g, addresses), SkipNodeUpdate: g.maybe()}
	if g.r.IntN(3) == 0 {
		r.ID = fmt.Sprintf("0000000%d-0000-0000-0000-000000000000", g.r.IntN(3))
	}
	if g.maybe() {
		s := g.instance()
		r.Service = &s
	}
	for range g.r.IntN(3) {
		c := g.check()
		r.Checks = append(r.Checks, &c)
	}
	return r
}

func (g *gen) instance() berth.ServiceInstance {
	s := berth.ServiceInstance{ID: pick(g, serviceIDs), Name: pick(g, serviceNames), Port: g.r.IntN(2), Address: pick(g, addresses)}
	if g.maybe() {
		s.Tags = []string{pick(g, []string{"x", "y"})}
	}
	if g.maybe() {
		s.Meta = map[string]string{berth.MetaOwner: pick(g, []string{"o1", "o2"}), "k": "v"}
	}
	return s
}

func (g *gen) check() berth.Check {
	c := berth.Check{CheckID: pick(g, checkIDs), Status: pick(g, statuses), Output: pick(g, []string{"", "out"})}
	if c.CheckID != berth.NodeHealthCheckID && g.maybe() {
		c.ServiceID = pick(g, serviceIDs)
	}
	if g.r.IntN(6) == 0 {
		c.Type, c.Definition.SessionName = "session", "lock"
	}
	return c
}

func (g *gen) kv() berth.KVOp {
	return berth.KVOp{
		Verb: pick(g, []string{berth.KVSet, berth.KVCAS, berth.KVDelete, berth.KVDeleteCAS, berth.KVDeleteTree, berth.KVLock, berth.KVLock, berth.KVUnlock}),
		Entry: berth.KVEntry{Key: pick(g, kvKeys), Value: fmt.Append(nil, g.r.IntN(3)), Flags: g.r.Uint64N(2),
			Session: pick(g, sessionIDs), ModifyIndex: g.r.Uint64N(3)},
	}
}

func (g *gen) session() berth.Session {
	s := berth.Session{ID: pick(g, sessionIDs), Node: pick(g, nodeNames), Name: pick(g, []string{"", "lock"}), LockDelay: g.r.Int64N(3) * 1e9,
		Behavior: pick(g, []string{berth.SessionRelease, berth.SessionDelete})}
	if g.maybe() {
		s.NodeChecks = []string{pick(g, checkIDs)}
	}
	return s
}

func (g *gen) query() berth.PreparedQuery {
	q := berth.PreparedQuery{ID: pick(g, queryIDs), Name: pick(g, []string{"find", "locate"}), Service: berth.ServiceQuery{Service: "web"}}
	if g.maybe() {
		q.Template = berth.QueryTemplate{Type: "name_prefix_match", Regexp: "^f(.*)$"}
	}
	if g.maybe() {
		q.Session = pick(g, sessionIDs)
	}
	return q
}

func (g *gen) txn() *command.Txn {
	c := &command.Txn{Now: g.now}
	verb := func() string { return pick(g, []string{"get", "set", "set", "cas", "delete", "delete-cas"}) }
	for range 1 + g.r.IntN(3) {
		op := berth.TxnOp{}
		switch g.r.IntN(5) {
		case 0:
			kv := g.kv()
			op.KV = &kv
		case 1:
			op.Node = &berth.TxnNodeOp{Verb: verb(), Node: berth.Node{Name: pick(g, nodeNames), Address: pick(g, addresses)}}
		case 2:
			op.Service = &berth.TxnServiceOp{Verb: verb(), Node: pick(g, nodeNames), Service: g.instance()}
		case 3:
			op.Check = &berth.TxnCheckOp{Verb: verb(), Check: g.check()}
			op.Check.Check.Node = pick(g, nodeNames)
		case 4:
			op.Session = &berth.TxnSessionOp{Verb: "delete", Session: g.session()}
		}
		c.Ops = append(c.Ops, op)
	}
	return c
}
