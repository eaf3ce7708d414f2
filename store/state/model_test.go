package state_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"berth"
	"berth/internal/testutil"
)

// kvModel is the key/value store and its sessions as a plain map: what KV promises without how.
type kvModel struct {
	keys     map[string]berth.KVEntry
	sessions map[string]berth.Session
	delays   map[string]int64
}

func (m *kvModel) put(idx uint64, e berth.KVEntry) {
	old, ok := m.keys[e.Key]
	e.CreateIndex, e.ModifyIndex = idx, idx
	if ok {
		e.CreateIndex = old.CreateIndex
		if string(old.Value) == string(e.Value) && old.Flags == e.Flags && old.Session == e.Session && old.LockIndex == e.LockIndex {
			return
		}
	}
	m.keys[e.Key] = e
}

func (m *kvModel) apply(idx uint64, now int64, op berth.KVOp) bool {
	e := op.Entry
	old, exists := m.keys[e.Key]
	row := berth.KVEntry{Key: e.Key, Value: e.Value, Flags: e.Flags, Session: old.Session, LockIndex: old.LockIndex}
	switch op.Verb {
	case berth.KVSet:
		m.put(idx, row)
	case berth.KVCAS:
		if old.ModifyIndex != e.ModifyIndex {
			return false
		}
		m.put(idx, row)
	case berth.KVDelete:
		delete(m.keys, e.Key)
	case berth.KVDeleteCAS:
		if exists && old.ModifyIndex != e.ModifyIndex {
			return false
		}
		delete(m.keys, e.Key)
	case berth.KVDeleteTree:
		maps.DeleteFunc(m.keys, func(k string, _ berth.KVEntry) bool { return strings.HasPrefix(k, e.Key) })
	case berth.KVLock:
		if _, ok := m.sessions[e.Session]; !ok {
			return false
		}
		if old.Session != e.Session {
			if old.Session != "" || now < m.delays[e.Key] {
				return false
			}
			row.LockIndex++
		}
		row.Session = e.Session
		m.put(idx, row)
	case berth.KVUnlock:
		if !exists || old.Session != e.Session {
			return false
		}
		row.Session = ""
		m.put(idx, row)
	}
	return true
}

func (m *kvModel) destroy(idx uint64, now int64, id string) {
	s, ok := m.sessions[id]
	if !ok {
		return
	}
	delete(m.sessions, id)
	for k, e := range m.keys {
		if e.Session != id {
			continue
		}
		if s.LockDelay > 0 {
			m.delays[k] = now + s.LockDelay
		}
		if s.Behavior == berth.SessionDelete {
			delete(m.keys, k)
			continue
		}
		e.Session, e.ModifyIndex = "", idx
		m.keys[k] = e
	}
}

// The store agrees with the model about every answer and every row after random writes.
func TestTx_KV_LikeModel(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func runModel(t *testing.T, r *rand.Rand) {
	b := newBox(t)
	b.register(&berth.Registration{Node: "n", Address: "10.0.0.1"})
	m := &kvModel{keys: map[string]berth.KVEntry{}, sessions: map[string]berth.Session{}, delays: map[string]int64{}}
	keys := []string{"a", "a/b", "a/b/c", "a/c", "b", "b/a"}
	verbs := []string{berth.KVSet, berth.KVCAS, berth.KVDelete, berth.KVDeleteCAS, berth.KVDeleteTree, berth.KVLock, berth.KVLock, berth.KVUnlock}
	var now int64
	for step := range 400 {
		now += r.Int64N(3) * second
		id := fmt.Sprintf("session-%d", r.IntN(3))
		switch r.IntN(8) {
		case 0:
			s := berth.Session{ID: id, Node: "n", LockDelay: r.Int64N(3) * 4 * second, Behavior: []string{berth.SessionRelease, berth.SessionDelete}[r.IntN(2)]}
			if err := b.session(&s); (err == nil) == (m.sessions[id].ID != "") {
				t.Fatalf("step %d: create %s: %v", step, id, err)
			} else if err == nil {
				m.sessions[id] = s
			}
		case 1:
			b.destroy(now, id)
			m.destroy(b.index, now, id)
		default:
			e := berth.KVEntry{Key: keys[r.IntN(len(keys))], Value: fmt.Append(nil, r.IntN(2)), Flags: r.Uint64N(2), Session: id}
			if r.IntN(2) == 0 {
				e.ModifyIndex = m.keys[e.Key].ModifyIndex
			} else {
				e.ModifyIndex = r.Uint64N(b.index + 1)
			}
			op := berth.KVOp{Verb: verbs[r.IntN(len(verbs))], Entry: e}
			got, _ := b.kv(now, op.Verb, op.Entry)
			if want := m.apply(b.index, now, op); got != want {
				t.Fatalf("step %d: %s %+v at %d s: got %v, want %v", step, op.Verb, op.Entry, now/second, got, want)
			}
		}
		b.wantKeys(step, m)
	}
}

func (b *box) wantKeys(step int, m *kvModel) {
	b.t.Helper()
	_, got := b.read().KVList(nil, "")
	var want []*berth.KVEntry
	for _, k := range slices.Sorted(maps.Keys(m.keys)) {
		e := m.keys[k]
		want = append(want, &e)
	}
	if len(got) != len(want) {
		b.t.Fatalf("step %d: %d keys, want %d", step, len(got), len(want))
	}
	for i := range got {
		testutil.Equal(b.t, *got[i], *want[i])
	}
}
