package fsm_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"berth"
	"berth/internal/testutil"
	"berth/store/command"
	"berth/store/fsm"
	"berth/store/state"

	"github.com/hashicorp/raft"
)

// sink keeps a snapshot in memory; it fails from byte failAt on when that is not 0.
type sink struct {
	bytes.Buffer
	failAt            int
	closed, cancelled bool
}

func (s *sink) Write(p []byte) (int, error) {
	if s.failAt > 0 && s.Len()+len(p) >= s.failAt {
		return 0, errors.New("disk full")
	}
	return s.Buffer.Write(p)
}
func (s *sink) Close() error  { s.closed = true; return nil }
func (s *sink) Cancel() error { s.cancelled = true; return nil }
func (s *sink) ID() string    { return "test" }

func snapshotOf(t testing.TB, f *fsm.FSM) []byte {
	t.Helper()
	snap, err := f.Snapshot()
	testutil.NoError(t, err)
	var s sink
	testutil.NoError(t, snap.Persist(&s))
	snap.Release()
	if !s.closed || s.cancelled {
		t.Fatal("the sink was not closed")
	}
	return s.Bytes()
}

func restore(t testing.TB, f *fsm.FSM, b []byte) {
	t.Helper()
	testutil.NoError(t, f.Restore(io.NopCloser(bytes.NewReader(b))))
}

// populated has rows in every table.
func populated(t testing.TB) *feeder {
	f := newFeeder(t)
	for i := range 5 {
		f.apply(f.encode(&command.Catalog{Ops: []berth.CatalogOp{{Register: registration(i, 80)}}}))
	}
	// Changes after creation: some indexes stay behind those of the rows.
	for _, r := range []*berth.Registration{
		registration(1, 81),
		{Node: "node-00002", Address: "10.9.9.9"},
		{Node: "node-00003", SkipNodeUpdate: true, Check: &berth.Check{CheckID: "disk"}},
	} {
		f.apply(f.encode(&command.Catalog{Ops: []berth.CatalogOp{{Register: r}}}))
	}
	query := berth.PreparedQuery{ID: "q", Name: "geo-", Service: berth.ServiceQuery{Service: "app-00000"},
		Template: berth.QueryTemplate{Type: "name_prefix_match", Regexp: "^geo-(.*)$"}}
	for _, c := range []command.Command{
		&command.KV{Op: berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: "k/1", Value: []byte{0, 1, 255}}}},
		&command.KV{Op: berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: "k/2"}}},
		&command.KV{Op: berth.KVOp{Verb: berth.KVDelete, Entry: berth.KVEntry{Key: "k/2"}}},
		&command.Session{Verb: command.VerbCreate, Session: berth.Session{ID: "s1", Node: "node-00001", LockDelay: 1e9}},
		&command.Session{Verb: command.VerbCreate, Session: berth.Session{ID: "s2", Node: "node-00002", LockDelay: 1e9}},
		&command.KV{Op: berth.KVOp{Verb: berth.KVLock, Entry: berth.KVEntry{Key: "lock/1", Session: "s1"}}},
		&command.KV{Op: berth.KVOp{Verb: berth.KVLock, Entry: berth.KVEntry{Key: "lock/2", Session: "s2"}}},
		&command.Session{Now: 5e9, Verb: command.VerbDestroy, Session: berth.Session{ID: "s2"}},
		&command.Coordinates{Updates: []berth.NodeCoordinate{{Node: "node-00001", Coord: &berth.Coordinate{Vec: []float64{1, 2}, Height: 3}}}},
		&command.Query{Verb: command.VerbCreate, Query: query},
		&command.Autopilot{Config: berth.AutopilotConfig{MinQuorum: 3, LastContactThreshold: berth.Duration(2e8)}},
		&command.Catalog{Ops: []berth.CatalogOp{{Deregister: &berth.Deregistration{Node: "node-00004", ServiceID: "app-000004"}},
			{Deregister: &berth.Deregistration{Node: "node-00003", CheckID: "disk"}}}},
		&command.Catalog{Ops: []berth.CatalogOp{{Register: registration(0, 81)}}},
	} {
		if res := f.apply(f.encode(c)); res.Err != nil || res.Errs != nil || !res.OK {
			t.Fatalf("%+v: %+v", c, res)
		}
	}
	return f
}

func TestFSM_SnapshotRestore(t *testing.T) {
	f := populated(t)
	kinds := map[string]bool{}
	for rec := range f.f.State().Read().Records() {
		kinds[strings.Fields(recordText(rec))[0]] = true
	}
	if len(kinds) != 11 {
		t.Fatalf("the store to be saved has rows of %v only", kinds)
	}
	b := snapshotOf(t, f.f)
	var commits []state.Commit
	g := fsm.New(testutil.Logger(t), func(c state.Commit) { commits = append(commits, c) })
	old := g.State()
	restore(t, g, b)
	got, want := g.State().Read(), f.f.State().Read()
	if got.Hash() != want.Hash() || got.Index() != want.Index() {
		t.Errorf("index %d, want %d\n%s", got.Index(), want.Index(), diff(got, want))
	}
	select {
	case <-old.AbandonCh():
	default:
		t.Error("whoever waits on the old store is not woken")
	}
	if len(commits) != 1 || !slices.Equal(commits[0].Changes, []berth.Change{{All: true}}) || commits[0].Index != want.Index() {
		t.Errorf("announced %+v", commits)
	}
	if q, re := got.QueryLookup("geo-web"); q == nil || re == nil {
		t.Error("the template is not found again")
	}
	sound(t, got)
	// The restored state goes on like the original one.
	next := f.encode(&command.KV{Now: 55e8, Op: berth.KVOp{Verb: berth.KVLock, Entry: berth.KVEntry{Key: "lock/2", Session: "s1"}}})
	a, c := f.apply(next), g.Apply(&raft.Log{Index: f.index, Type: raft.LogCommand, Data: next}).(command.Result)
	if a.OK || c.OK || g.State().Read().Hash() != f.f.State().Read().Hash() {
		t.Errorf("a lock-delay did not survive the restore: %v %v", a.OK, c.OK)
	}
	if len(commits) != 2 || commits[1].Index != f.index {
		t.Errorf("commits after a restore are not announced: %+v", commits)
	}
}

func TestFSM_Restore_RefusesDamage(t *testing.T) {
	f := populated(t)
	good := snapshotOf(t, f.f)
	hash, st := f.f.State().Read().Hash(), f.f.State()
	refuse := func(what string, b []byte) {
		t.Helper()
		err := f.f.Restore(io.NopCloser(bytes.NewReader(b)))
		if !errors.Is(err, fsm.ErrBadSnapshot) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for n := 0; n < len(good); n += 7 {
		refuse(fmt.Sprintf("cut at %d of %d", n, len(good)), good[:n])
	}
	for n := 0; n < len(good); n += 7 {
		b := bytes.Clone(good)
		b[n] ^= 0x41
		refuse(fmt.Sprintf("byte %d changed", n), b)
	}
	refuse("something behind the end", append(bytes.Clone(good), 0))
	refuse("garbage", []byte("what is this"))
	if f.f.State() != st || st.Read().Hash() != hash {
		t.Error("a refused restore changed the state")
	}
	select {
	case <-st.AbandonCh():
		t.Error("a refused restore woke the waiters")
	default:
	}
	if err := f.f.Restore(io.NopCloser(io.MultiReader(bytes.NewReader(good[:100]), failing{}))); err == nil || errors.Is(err, fsm.ErrBadSnapshot) {
		t.Errorf("a read error is reported as %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("disk is gone") }

func TestFSM_Persist_CancelsOnError(t *testing.T) {
	f := populated(t)
	snap, err := f.f.Snapshot()
	testutil.NoError(t, err)
	s := sink{failAt: 1000}
	if err := snap.Persist(&s); err == nil || !strings.Contains(err.Error(), "disk full") || !s.cancelled || s.closed {
		t.Errorf("error %v, cancelled %v, closed %v", err, s.cancelled, s.closed)
	}
}

func TestFSM_Apply_UnknownTypes(t *testing.T) {
	f := newFeeder(t)
	if res := f.apply([]byte{0x80 | 77, 1, 2, 3}); !res.Ignored || f.f.State().Index() != 1 {
		t.Errorf("an ignorable entry gave %+v at %d", res, f.f.State().Index())
	}
	member := f.encode(&command.KV{Op: berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: "k"}}})
	res := f.apply(f.encode(&command.Batch{Members: [][]byte{{0xff}, member}}))
	if !res.Members[0].Ignored || !res.Members[1].OK {
		t.Errorf("members gave %+v", res.Members)
	}
	batch := f.encode(&command.Batch{Members: [][]byte{member}})
	for what, entry := range map[string][]byte{
		"unknown type":       {77},
		"empty":              {},
		"broken":             member[:len(member)-1],
		"batch in a batch":   f.encode(&command.Batch{Members: [][]byte{batch}}),
		"unknown in a batch": f.encode(&command.Batch{Members: [][]byte{{77}}}),
	} {
		t.Run(what, func(t *testing.T) {
			defer func() {
				if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "apply log entry") {
					t.Errorf("panic is %v", p)
				}
			}()
			newFeeder(t).apply(entry)
		})
	}
}

func TestFSM_ApplyBatch(t *testing.T) {
	var commits []state.Commit
	f := fsm.New(testutil.Logger(t), func(c state.Commit) { commits = append(commits, c) })
	var logs []*raft.Log
	add := func(typ raft.LogType, data []byte) {
		logs = append(logs, &raft.Log{Index: uint64(len(logs) + 1), Type: typ, Data: data})
	}
	enc := newFeeder(t)
	add(raft.LogCommand, enc.encode(&command.Catalog{Ops: []berth.CatalogOp{{Register: registration(1, 80)}, {Deregister: &berth.Deregistration{}}}}))
	add(raft.LogConfiguration, []byte("not ours"))
	add(raft.LogCommand, enc.encode(&command.Catalog{Ops: []berth.CatalogOp{{Register: registration(1, 81)}}}))
	add(raft.LogConfiguration, nil)
	res := f.ApplyBatch(logs)
	if res[1] != nil || res[3] != nil || res[0].(command.Result).Errs[1] == nil || res[2].(command.Result).Errs != nil {
		t.Errorf("results are %+v", res)
	}
	s := f.State().Read().Instance("node-00001", "app-000001")
	if s.Port != 81 || s.CreateIndex != 1 || s.ModifyIndex != 3 {
		t.Errorf("instance is %+v", s)
	}
	if len(commits) != 1 || commits[0].Index != 4 || len(commits[0].Changes) != 2 || f.State().Index() != 4 {
		t.Errorf("announced %+v, index %d", commits, f.State().Index())
	}
}

// What readers do not see together must at least be complete when the index says so.
func TestFSM_ApplyBatch_Large(t *testing.T) {
	f := newFeeder(t)
	c := &command.Catalog{}
	for i := range 1500 {
		c.Ops = append(c.Ops, berth.CatalogOp{Register: registration(i, 80)})
	}
	if res := f.apply(f.encode(c)); res.Errs != nil {
		t.Fatal(res.Errs)
	}
	r := f.f.State().Read()
	if _, u := r.Usage(nil); u.ServiceInstances != 1500 || u.Services != 500 || r.Index() != 1 {
		t.Errorf("usage %+v at %d", u, r.Index())
	}
}
