package fsm_test

import (
	"bytes"
	"testing"

	"berth/store/command"
	"berth/store/fsm"
)

// FuzzRead wants that no input makes a restore panic, and that what is taken can be saved and
// read again.
func FuzzRead(f *testing.F) {
	good := snapshotOf(f, populated(f).f)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("berthsnp"))
	f.Add(snapshotOf(f, newFeeder(f).f))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := fsm.Read(bytes.NewReader(fsm.Reseal(b)), nil)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := fsm.Write(&again, st.Read()); err != nil {
			t.Fatalf("what was restored cannot be saved: %v", err)
		}
		got, err := fsm.Read(&again, nil)
		if err != nil {
			t.Fatalf("what was saved cannot be restored: %v", err)
		}
		if got.Read().Hash() != st.Read().Hash() {
			t.Fatal("the state differs after saving and restoring it")
		}
	})
}

// FuzzApply wants that an entry either cannot be decoded or can be applied: panics stop
// servers, so none may come from what is in a command. Applying it to equal states gives equal
// states.
func FuzzApply(f *testing.F) {
	g := newGen(5)
	var enc command.Encoder
	for range 60 {
		b, err := enc.Encode(g.next())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	snap := snapshotOf(f, populated(f).f)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := command.Decode(b)
		if err != nil {
			return
		}
		if batch, ok := c.(*command.Batch); ok {
			for _, m := range batch.Members {
				if c, err := command.Decode(m); err != nil || c.Type() == command.TypeBatch {
					return // stops the server on purpose
				}
			}
		}
		var hashes []string
		for range 2 {
			f := newFeeder(t)
			restore(t, f.f, snap)
			f.index = 100
			f.apply(b)
			sound(t, f.f.State().Read())
			hashes = append(hashes, f.f.State().Read().Hash())
		}
		if hashes[0] != hashes[1] {
			t.Fatal("equal states differ after the same command")
		}
	})
}
