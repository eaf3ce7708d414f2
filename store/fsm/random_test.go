package fsm_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"berth"
	"berth/internal/testutil"
	"berth/store/command"
	"berth/store/fsm"
	"berth/store/state"

	"github.com/hashicorp/go-memdb"
	"github.com/hashicorp/raft"
)

const randomSteps = 300

// Servers may group log entries differently, may have restored a snapshot on the way, and
// replicas get rows instead of commands: all must come to the same state with the same results.
func TestFSM_SameLogSameState(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { sameState(t, seed) })
	}
}

func sameState(t *testing.T, seed uint64) {
	g := newGen(seed)
	replica := state.New(nil)
	single := fsm.New(testutil.Logger(t), func(c state.Commit) {
		testutil.NoError(t, replica.ApplyDeltas(c.Index, c.Deltas))
	})
	var logs []*raft.Log
	var results []any
	restored := newFeeder(t).f
	for i := range randomSteps {
		b, err := command.Encode(g.next())
		testutil.NoError(t, err)
		logs = append(logs, &raft.Log{Index: uint64(i + 1), Type: raft.LogCommand, Data: b})
		results = append(results, single.Apply(logs[i]))
		if i >= randomSteps/2 {
			restored.Apply(logs[i])
		}
		if i == randomSteps/2-1 {
			restore(t, restored, snapshotOf(t, single))
		}
	}
	grouped := newFeeder(t).f
	r := rand.New(rand.NewPCG(seed, 99))
	for i := 0; i < len(logs); {
		n := min(1+r.IntN(20), len(logs)-i)
		for k, res := range grouped.ApplyBatch(logs[i : i+n]) {
			if got, want := fmt.Sprintf("%+v", plain(res)), fmt.Sprintf("%+v", plain(results[i+k])); got != want {
				t.Fatalf("entry %d in a group: %s\nalone: %s", i+k+1, got, want)
			}
		}
		i += n
	}
	want := single.State().Read()
	for name, got := range map[string]*state.Reader{"grouped": grouped.State().Read(), "restored": restored.State().Read()} {
		if got.Hash() != want.Hash() {
			t.Errorf("%s: state differs\n%s", name, diff(got, want))
		}
	}
	if replica.Read().CatalogHash() != want.CatalogHash() {
		t.Error("the replica's catalog differs")
	}
	got, wanted := texts(replica.Read(), true), texts(want, true)
	if !slices.Equal(got, wanted) {
		t.Errorf("the replica's indexes differ\n%s", diffTexts(got, wanted))
	}
	sameViews(t, replica.View(), single.State().View())
	sound(t, want)
}

// plain is a result without pointers, for comparison as text.
func plain(res any) any {
	r := res.(command.Result)
	s := fmt.Sprint(r.Index, r.Err, r.Errs, r.OK, r.Ignored)
	for _, e := range r.Txn.Errors {
		s += fmt.Sprint(" ", *e)
	}
	for _, x := range r.Txn.Results {
		s += recordText(state.Record{KV: x.KV, Node: x.Node, Service: x.Service, Check: x.Check})
	}
	for _, m := range r.Members {
		s += fmt.Sprint(" [", plain(m), "]")
	}
	return s
}

func recordText(rec state.Record) string {
	switch {
	case rec.Node != nil:
		return fmt.Sprintf("node %+v", *rec.Node)
	case rec.Service != nil:
		return fmt.Sprintf("service %+v %+v", withoutWeights(*rec.Service), *rec.Service.Weights)
	case rec.Check != nil:
		return fmt.Sprintf("check %+v", *rec.Check)
	case rec.KV != nil:
		return fmt.Sprintf("kv %+v", *rec.KV)
	case rec.Session != nil:
		return fmt.Sprintf("session %+v", *rec.Session)
	case rec.Tombstone != nil:
		return fmt.Sprintf("tombstone %+v", *rec.Tombstone)
	case rec.LockDelay != nil:
		return fmt.Sprintf("lock-delay %+v", *rec.LockDelay)
	case rec.Query != nil:
		return fmt.Sprintf("query %+v", *rec.Query)
	case rec.Autopilot != nil:
		return fmt.Sprintf("autopilot %+v", *rec.Autopilot)
	case rec.Coordinate != nil:
		return fmt.Sprintf("coordinate %s %+v", rec.Coordinate.Node, *rec.Coordinate.Coord)
	case rec.Index != nil:
		return fmt.Sprintf("index %+v", *rec.Index)
	}
	return "nothing"
}

func withoutWeights(s berth.ServiceInstance) berth.ServiceInstance {
	s.Weights = nil
	return s
}

func texts(r *state.Reader, catalog bool) []string {
	seq := r.Records()
	if catalog {
		seq = r.CatalogRecords()
	}
	var all []string
	for rec := range seq {
		all = append(all, recordText(rec))
	}
	return all
}

func diff(got, want *state.Reader) string { return diffTexts(texts(got, false), texts(want, false)) }

func diffTexts(got, want []string) string {
	var out bytes.Buffer
	for _, s := range got {
		if !slices.Contains(want, s) {
			fmt.Fprintln(&out, "got ", s)
		}
	}
	for _, s := range want {
		if !slices.Contains(got, s) {
			fmt.Fprintln(&out, "want", s)
		}
	}
	return out.String()
}

func sameViews(t *testing.T, got, want state.View) {
	t.Helper()
	for _, name := range serviceNames {
		testutil.Equal(t, entryTexts(got.Service(name)), entryTexts(want.Service(name)))
	}
	for _, a := range addresses {
		if ip, err := netip.ParseAddr(a); err == nil {
			testutil.Equal(t, got.Addr(ip), want.Addr(ip))
		}
	}
}

func entryTexts(es []*berth.HealthEntry) []string {
	var all []string
	for _, e := range es {
		s := recordText(state.Record{Node: e.Node}) + recordText(state.Record{Service: e.Service})
		for _, c := range e.Checks {
			s += recordText(state.Record{Check: c})
		}
		all = append(all, s)
	}
	return all
}

// sound checks what is kept incrementally against a count of everything.
func sound(t *testing.T, r *state.Reader) {
	t.Helper()
	_, nodes := r.Nodes(nil)
	usage := berth.Usage{Nodes: len(nodes)}
	byName := map[string][]*berth.HealthEntry{}
	for _, n := range nodes {
		_, ns := r.NodeServices(nil, n.Name)
		usage.ServiceInstances += len(ns.Services)
		for _, s := range ns.Services {
			e := &berth.HealthEntry{Node: n, Service: s}
			for _, own := range []bool{true, false} {
				for _, c := range ns.Checks {
					if own && c.ServiceID == "" || !own && c.ServiceID == s.ID {
						e.Checks = append(e.Checks, c)
					}
				}
			}
			byName[lower(s.Name)] = append(byName[lower(s.Name)], e)
			for _, c := range e.Checks {
				if c.ServiceID == s.ID && (c.ServiceName != s.Name || !slices.Equal(c.ServiceTags, s.Tags)) {
					t.Errorf("check %+v does not follow its service %+v", c, s)
				}
			}
		}
	}
	usage.Services = len(byName)
	for name, es := range byName {
		_, got := r.Service(nil, name)
		testutil.Equal(t, entryTexts(got), entryTexts(es))
	}
	if _, got := r.Usage(nil); got != usage {
		t.Errorf("usage is kept as %+v, counted %+v", got, usage)
	}
}

func lower(s string) string { return string(bytes.ToLower([]byte(s))) }

// reading is a read whose result can be compared.
type reading struct {
	name string
	read func(*state.Reader, memdb.WatchSet) (uint64, string)
}

func readings() []reading {
	var all []reading
	add := func(name string, f func(*state.Reader, memdb.WatchSet) (uint64, string)) {
		all = append(all, reading{name, f})
	}
	add("nodes", func(r *state.Reader, ws memdb.WatchSet) (uint64, string) {
		idx, ns := r.Nodes(ws)
		s := ""
		for _, n := range ns {
			s += recordText(state.Record{Node: n})
		}
		return idx, s
	})
	add("services", func(r *state.Reader, ws memdb.WatchSet) (uint64, string) {
		idx, m := r.Services(ws)
		return idx, fmt.Sprint(m)
	})
	add("usage", func(r *state.Reader, ws memdb.WatchSet) (uint64, string) {
		idx, u := r.Usage(ws)
		return idx, fmt.Sprint(u)
	})
	checks := func(idx uint64, cs []*berth.Check) (uint64, string) {
		s := ""
		for _, c := range cs {
			s += recordText(state.Record{Check: c})
		}
		return idx, s
	}
	for _, st := range []string{berth.StatusAny, berth.StatusPassing, berth.StatusWarning, berth.StatusCritical} {
		add("checks "+st, func(r *state.Reader, ws memdb.WatchSet) (uint64, string) { return checks(r.StateChecks(ws, st)) })
	}
	for _, n := range []string{"a", "b", "c", "00000001"} {
		add("checks of node "+n, func(r *state.Reader, ws memdb.WatchSet) (uint64, string) { return checks(r.NodeChecks(ws, n)) })
		add("node "+n, func(r *state.Reader, ws memdb.WatchSet) (uint64, string) {
			idx, x := r.Node(ws, n)
			if x == nil {
				return idx, ""
			}
			return idx, recordText(state.Record{Node: x})
		})
		add("all of "+n, func(r *state.Reader, ws memdb.WatchSet) (uint64, string) {
			idx, ns := r.NodeServices(ws, n)
			if ns == nil {
				return idx, ""
			}
			s := recordText(state.Record{Node: ns.Node})
			for _, x := range ns.Services {
				s += recordText(state.Record{Service: x})
			}
			_, c := checks(0, ns.Checks)
			return idx, s + c
		})
	}
	for _, name := range serviceNames {
		add("service "+name, func(r *state.Reader, ws memdb.WatchSet) (uint64, string) {
			idx, es := r.Service(ws, name)
			return idx, fmt.Sprint(entryTexts(es))
		})
		add("checks of service "+name, func(r *state.Reader, ws memdb.WatchSet) (uint64, string) { return checks(r.ServiceChecks(ws, name)) })
	}
	return append(all, otherReadings()...)
}

func otherReadings() []reading {
	var all []reading
	for _, k := range append(kvKeys, "") {
		// A query that waits for what is missing needs the index of its deletion.
		all = append(all, reading{"deletions of " + k, func(r *state.Reader, ws memdb.WatchSet) (uint64, string) {
			_, es := r.KVList(ws, k)
			if len(es) > 0 {
				return r.KVDeleted(k, true), "there"
			}
			return r.KVDeleted(k, true), "missing"
		}})
		all = append(all, reading{"keys " + k, func(r *state.Reader, ws memdb.WatchSet) (uint64, string) {
			idx, es := r.KVList(ws, k)
			s := ""
			for _, e := range es {
				s += recordText(state.Record{KV: e})
			}
			return idx, s
		}})
		if k != "" {
			all = append(all, reading{"key " + k, func(r *state.Reader, ws memdb.WatchSet) (uint64, string) {
				idx, e := r.KVGet(ws, k)
				if e == nil {
					return idx, ""
				}
				return idx, recordText(state.Record{KV: e})
			}})
		}
	}
	sessions := func(idx uint64, ss []*berth.Session) (uint64, string) {
		s := ""
		for _, x := range ss {
			s += recordText(state.Record{Session: x})
		}
		return idx, s
	}
	return append(all,
		reading{"sessions", func(r *state.Reader, ws memdb.WatchSet) (uint64, string) { return sessions(r.Sessions(ws, "")) }},
		reading{"sessions of b", func(r *state.Reader, ws memdb.WatchSet) (uint64, string) { return sessions(r.Sessions(ws, "b")) }},
		reading{"session", func(r *state.Reader, ws memdb.WatchSet) (uint64, string) {
			idx, s := r.Session(ws, sessionIDs[0])
			if s == nil {
				return idx, ""
			}
			return idx, recordText(state.Record{Session: s})
		}},
		reading{"coordinates", func(r *state.Reader, ws memdb.WatchSet) (uint64, string) {
			idx, cs := r.Coordinates(ws, "")
			s := ""
			for _, c := range cs {
				s += recordText(state.Record{Coordinate: &c})
			}
			return idx, s
		}},
		reading{"queries", func(r *state.Reader, ws memdb.WatchSet) (uint64, string) {
			idx, qs := r.Queries(ws)
			s := ""
			for _, q := range qs {
				s += recordText(state.Record{Query: q})
			}
			return idx, s
		}},
	)
}

// Whenever the result of a read changes, its watch has fired and its index has grown: no
// blocking query sleeps through a change. And no index goes back, but those of key prefixes
// when tombstones are reaped.
func TestFSM_BlockingReadsMissNothing(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g, f := newGen(1000+seed), newFeeder(t)
			for range randomSteps {
				c := g.next()
				before := look(f.f.State().Read())
				f.apply(f.encode(c))
				after := look(f.f.State().Read())
				for i, was := range before {
					is := after[i]
					if was.text != is.text && is.text != "there" && (!fired(was.ws) || is.index <= was.index) {
						t.Fatalf("entry %d, %+v: %s changed, fired %v, index %d, then %d\nfrom %s\nto   %s",
							f.index, c, was.name, fired(was.ws), was.index, is.index, was.text, is.text)
					}
					if is.index < was.index && c.Type() != command.TypeReap && c.Type() != command.TypeBatch {
						t.Fatalf("entry %d, %+v: index of %s went from %d to %d", f.index, c, was.name, was.index, is.index)
					}
				}
			}
			sound(t, f.f.State().Read())
		})
	}
}

type looked struct {
	name  string
	index uint64
	text  string
	ws    memdb.WatchSet
}

func look(r *state.Reader) []looked {
	var all []looked
	for _, x := range readings() {
		ws := memdb.NewWatchSet()
		idx, text := x.read(r, ws)
		all = append(all, looked{x.name, idx, text, ws})
	}
	return all
}

func fired(ws memdb.WatchSet) bool {
	for ch := range ws {
		select {
		case <-ch:
			return true
		default:
		}
	}
	return false
}
