package registrator

import (
	"os"
	"time"
)

// An engine tells the end of a container when it has cleaned up after it, tens of milliseconds
// later. Where the agent shares the engine's process numbers it watches the container's first
// process itself. That acts as a die event does, whose confirmation it then awaits.

// exitWatch is the watch on one incarnation of a container.
type exitWatch struct {
	started string
	file    *os.File // nil: cannot be watched
}

// watchExit makes sure that rec's present incarnation is watched. The goroutine ends when the
// process does or when unwatchExit closes its file; Run waits for it.
func (r *Registrator) watchExit(rec *record) {
	st := &rec.up.state
	if rec.exit.started == st.startedText {
		return
	}
	r.unwatchExit(rec)
	f := openExit(st.pid, rec.id)
	rec.exit = exitWatch{st.startedText, f}
	if f == nil {
		return
	}
	id := rec.id
	r.exits.Go(func() {
		if !waitExit(f) {
			return
		}
		now := time.Now()
		ev := event{kind: "container", action: "exit", id: id, at: now.UnixNano()}
		r.dirty.add(id, mark{events: true, fast: true, look: true, acts: []event{ev}}, now)
	})
}

func (r *Registrator) unwatchExit(rec *record) {
	if rec.exit.file != nil {
		_ = rec.exit.file.Close()
	}
	rec.exit = exitWatch{}
}

// unwatchAll ends all watches and waits for their goroutines.
func (r *Registrator) unwatchAll() {
	r.with(func() {
		for _, rec := range r.state.records {
			r.unwatchExit(rec)
		}
	})
	r.exits.Wait()
}
