package store

import (
	"testing"

	"berth"
	"berth/store/state"
)

// A restored state carries the index it was saved with, which is lower than that of followers who
// never saw it. None of them may go on as if nothing had happened.
func TestFeed_NobodyResumesAcrossARestore(t *testing.T) {
	f := newFeed(func(uint64) uint64 { return 1 })
	commit := func(index uint64, restored bool) {
		c := state.Commit{Index: index, Deltas: []state.Delta{{}}}
		if restored {
			c.Deltas, c.Changes = nil, []berth.Change{{All: true}}
		}
		f.publish(c)
		if err := f.cut(); err != nil {
			t.Fatal(err)
		}
	}
	resumes := func(index uint64, want bool) {
		t.Helper()
		if _, ok := f.from(index); ok != want {
			t.Errorf("a follower at %d resumes: %v, want %v", index, ok, want)
		}
	}
	for i := uint64(5); i <= 8; i++ {
		commit(i, false)
	}
	resumes(4, true)
	resumes(3, false)
	commit(6, true) // as of 6; others had come to 10 before it
	for i := uint64(4); i <= 10; i++ {
		resumes(i, false)
	}
	commit(12, false)
	resumes(10, false)
	resumes(12, true)
}
