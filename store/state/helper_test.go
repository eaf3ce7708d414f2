package state_test

import (
	"fmt"
	"slices"
	"testing"

	"berth"
	"berth/internal/testutil"
	"berth/store/state"

	"github.com/hashicorp/go-memdb"
)

const (
	idA = "aaaaaaaa-0000-0000-0000-000000000000"
	idB = "bbbbbbbb-0000-0000-0000-000000000000"
	idC = "cccccccc-0000-0000-0000-000000000000"

	sessionID = "11111111-0000-0000-0000-000000000000"
	queryID   = "22222222-0000-0000-0000-000000000000"

	second = int64(1e9)
)

// box is a store with the commits it made.
type box struct {
	t       testing.TB
	s       *state.Store
	index   uint64
	commits []state.Commit
}

func newBox(t testing.TB) *box {
	b := &box{t: t}
	b.s = state.New(func(c state.Commit) { b.commits = append(b.commits, c) })
	return b
}

func (b *box) read() *state.Reader { return b.s.Read() }

// do runs f at the next index and commits.
func (b *box) do(f func(tx *state.Tx, idx uint64)) {
	b.index++
	tx := b.s.Begin()
	f(tx, b.index)
	tx.Commit(b.index)
}

func (b *box) ops(ops ...berth.CatalogOp) []error {
	var errs []error
	b.do(func(tx *state.Tx, idx uint64) { errs = tx.Catalog(idx, 0, ops) })
	return errs
}

func (b *box) tryRegister(r *berth.Registration) error {
	if errs := b.ops(berth.CatalogOp{Register: r}); errs != nil {
		return errs[0]
	}
	return nil
}

func (b *box) register(r *berth.Registration) {
	b.t.Helper()
	testutil.NoError(b.t, b.tryRegister(r))
}

func (b *box) deregister(d *berth.Deregistration) {
	b.t.Helper()
	if errs := b.ops(berth.CatalogOp{Deregister: d}); errs != nil {
		b.t.Fatal(errs[0])
	}
}

func (b *box) kv(now int64, verb string, e berth.KVEntry) (ok bool, err error) {
	b.do(func(tx *state.Tx, idx uint64) { ok, err = tx.KV(idx, now, berth.KVOp{Verb: verb, Entry: e}) })
	return ok, err
}

func (b *box) mustKV(verb string, e berth.KVEntry) {
	b.t.Helper()
	ok, err := b.kv(0, verb, e)
	testutil.NoError(b.t, err)
	if !ok {
		b.t.Fatalf("%s %q was refused", verb, e.Key)
	}
}

func (b *box) session(s *berth.Session) (err error) {
	b.do(func(tx *state.Tx, idx uint64) { err = tx.SessionCreate(idx, 0, s) })
	return err
}

func (b *box) txn(ops ...berth.TxnOp) (res berth.TxnResponse) {
	b.do(func(tx *state.Tx, idx uint64) { res = tx.Txn(idx, 0, ops) })
	return res
}

func (b *box) lastCommit() state.Commit { return b.commits[len(b.commits)-1] }

func (b *box) wantErr(err error, text string) {
	b.t.Helper()
	if err == nil || err.Error() != text {
		b.t.Fatalf("got error %v\nwant %s", err, text)
	}
}

// fill puts some of everything into the store:
// node a: web-1 with a check, db-1, a node check, a session; node b: web-2; node c: nothing.
func (b *box) fill() {
	b.t.Helper()
	b.register(&berth.Registration{ID: idA, Node: "a", Address: "10.0.0.1", Datacenter: "dc1", NodeMeta: map[string]string{"rack": "r1"},
		Service: &berth.ServiceInstance{ID: "web-1", Name: "web", Tags: []string{"v1"}, Port: 80, Address: "10.1.0.1"},
		Checks: []*berth.Check{
			{CheckID: berth.NodeHealthCheckID, Name: berth.NodeHealthCheckName, Status: berth.StatusPassing},
			{CheckID: "web-alive", Name: "alive", Status: berth.StatusPassing, ServiceID: "web-1"},
		}})
	b.register(&berth.Registration{Node: "a", SkipNodeUpdate: true, Service: &berth.ServiceInstance{ID: "db-1", Name: "db", Port: 5432}})
	b.register(&berth.Registration{ID: idB, Node: "b", Address: "10.0.0.2", Datacenter: "dc1",
		Service: &berth.ServiceInstance{ID: "web-2", Name: "web", Tags: []string{"v2"}, Port: 80},
		Check:   &berth.Check{CheckID: "web-alive", Name: "alive", Status: berth.StatusCritical, ServiceID: "web-2"}})
	b.register(&berth.Registration{ID: idC, Node: "c", Address: "10.0.0.3", Datacenter: "dc1"})
	b.mustKV(berth.KVSet, berth.KVEntry{Key: "p/x", Value: []byte("1")})
	b.mustKV(berth.KVSet, berth.KVEntry{Key: "q/y", Value: []byte("2"), Flags: 7})
	testutil.NoError(b.t, b.session(&berth.Session{ID: sessionID, Name: "lock", Node: "a", LockDelay: 15 * second,
		NodeChecks: []string{berth.NodeHealthCheckID}, ServiceChecks: []berth.SessionServiceCheck{{ID: "web-alive"}}}))
	b.do(func(tx *state.Tx, idx uint64) {
		tx.Coordinates(idx, []berth.NodeCoordinate{{Node: "a", Coord: &berth.Coordinate{Vec: []float64{1, 2}, Error: 1.5}}})
		testutil.NoError(b.t, tx.QuerySet(idx, &berth.PreparedQuery{ID: queryID, Name: "find-web", Service: berth.ServiceQuery{Service: "web"}}))
		tx.Autopilot(idx, berth.AutopilotConfig{CleanupDeadServers: true}, false)
	})
}

// watches are the blocking reads of fill's rows.
var watches = map[string]func(*state.Reader, memdb.WatchSet){
	"nodes":          func(r *state.Reader, ws memdb.WatchSet) { r.Nodes(ws) },
	"node a":         func(r *state.Reader, ws memdb.WatchSet) { r.Node(ws, "a") },
	"node b":         func(r *state.Reader, ws memdb.WatchSet) { r.Node(ws, "b") },
	"all on a":       func(r *state.Reader, ws memdb.WatchSet) { r.NodeServices(ws, "a") },
	"all on b":       func(r *state.Reader, ws memdb.WatchSet) { r.NodeServices(ws, "b") },
	"checks on a":    func(r *state.Reader, ws memdb.WatchSet) { r.NodeChecks(ws, "a") },
	"checks on b":    func(r *state.Reader, ws memdb.WatchSet) { r.NodeChecks(ws, "b") },
	"services":       func(r *state.Reader, ws memdb.WatchSet) { r.Services(ws) },
	"web":            func(r *state.Reader, ws memdb.WatchSet) { r.Service(ws, "web") },
	"db":             func(r *state.Reader, ws memdb.WatchSet) { r.Service(ws, "DB") },
	"checks of web":  func(r *state.Reader, ws memdb.WatchSet) { r.ServiceChecks(ws, "web") },
	"any check":      func(r *state.Reader, ws memdb.WatchSet) { r.StateChecks(ws, berth.StatusAny) },
	"critical":       func(r *state.Reader, ws memdb.WatchSet) { r.StateChecks(ws, berth.StatusCritical) },
	"usage":          func(r *state.Reader, ws memdb.WatchSet) { r.Usage(ws) },
	"key p/x":        func(r *state.Reader, ws memdb.WatchSet) { r.KVGet(ws, "p/x") },
	"keys p/":        func(r *state.Reader, ws memdb.WatchSet) { r.KVList(ws, "p/") },
	"keys q/":        func(r *state.Reader, ws memdb.WatchSet) { r.KVKeys(ws, "q/", "/") },
	"session":        func(r *state.Reader, ws memdb.WatchSet) { r.Session(ws, sessionID) },
	"sessions":       func(r *state.Reader, ws memdb.WatchSet) { r.Sessions(ws, "") },
	"sessions on a":  func(r *state.Reader, ws memdb.WatchSet) { r.Sessions(ws, "a") },
	"coordinates":    func(r *state.Reader, ws memdb.WatchSet) { r.Coordinates(ws, "") },
	"coordinate a":   func(r *state.Reader, ws memdb.WatchSet) { r.Coordinates(ws, "a") },
	"queries":        func(r *state.Reader, ws memdb.WatchSet) { r.Queries(ws) },
	"query find-web": func(r *state.Reader, ws memdb.WatchSet) { r.Query(ws, queryID) },
}

// wantFired runs write and wants exactly the named watches to have fired.
func (b *box) wantFired(write func(), names ...string) {
	b.t.Helper()
	sets := make(map[string]memdb.WatchSet)
	for name, f := range watches {
		ws := memdb.NewWatchSet()
		f(b.read(), ws)
		sets[name] = ws
	}
	write()
	var fired []string
	for name, ws := range sets {
		if hasFired(ws) {
			fired = append(fired, name)
		}
	}
	slices.Sort(fired)
	slices.Sort(names)
	if fmt.Sprint(fired) != fmt.Sprint(names) {
		b.t.Errorf("fired %q\nwant  %q", fired, names)
	}
}

func hasFired(ws memdb.WatchSet) bool {
	for ch := range ws {
		select {
		case <-ch:
			return true
		default:
		}
	}
	return false
}

func (b *box) destroy(now int64, id string) {
	b.do(func(tx *state.Tx, idx uint64) { tx.SessionDestroy(idx, now, id) })
}
