package store

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"berth/store/state"
)

const (
	feedPause     = 20 * time.Millisecond // between two frames of changes; the first goes at once
	feedKept      = 4096                  // frames that a follower may be behind
	feedKeptBytes = 64 << 20
	heartbeatTime = time.Second
	followerWrite = 30 * time.Second // a follower that takes longer to read is dropped
)

// nobody is the floor of a feed from which no follower of another server can go on: the state is
// new, or was replaced. A restored state has the index that it was saved with, so it is the next entry of
// the log that tells which followers have it.
const nobody = math.MaxUint64

// feed is the server's end of all change streams. Commits gather for feedPause, changes of one
// row supersede one another, and what is left is encoded once for all followers.
type feed struct {
	id   string // of this process: a follower of another feed cannot resume here
	wake chan struct{}

	mu      sync.Mutex // guards the rest
	pending []state.Delta
	index   uint64 // of the last commit
	reset   bool   // the state was replaced: followers need a snapshot
	frames  []frame
	size    int
	seq     uint64 // of the last frame, which may still be made
	made    uint64 // of the last frame in frames, or the position after a reset
	floor   uint64 // frames and pending have all changes after this index; nobody: none yet
	changed broadcast

	mark func(index uint64) uint64 // what identifies an entry of the log; 0: not known
}

type frame struct {
	seq, index uint64
	data       []byte
}

func newFeed(mark func(uint64) uint64) *feed {
	return &feed{id: newUUID(), wake: make(chan struct{}, 1), mark: mark, floor: nobody}
}

// publish takes a commit, on the goroutine that applies the log; it only copies.
func (f *feed) publish(c state.Commit) {
	f.mu.Lock()
	if f.floor == nobody {
		f.floor = c.Index - 1
	}
	f.index = c.Index
	f.pending = append(f.pending, c.Deltas...)
	for _, ch := range c.Changes {
		if ch.All {
			f.reset, f.pending, f.floor = true, nil, nobody
		}
	}
	busy := len(f.pending) > 0 || f.reset
	f.mu.Unlock()
	if busy {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// run cuts frames until ctx ends.
func (f *feed) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		}
		if err := f.cut(); err != nil {
			return err
		}
		if waitOr(ctx, nil, feedPause) != nil {
			return nil
		}
	}
}

// cut turns the pending changes into a frame.
func (f *feed) cut() error {
	f.mu.Lock()
	if f.reset {
		f.reset = false
		f.frames, f.size = nil, 0
		f.seq += 2 // nobody has the frame before the next one: all must take a snapshot
		f.made = f.seq
	}
	rows := latestRows(f.pending)
	f.pending = nil
	if len(rows) == 0 {
		f.mu.Unlock()
		f.changed.fire()
		return nil
	}
	f.seq++
	d := deltas{Index: f.index, Seq: f.seq, Deltas: rows}
	f.mu.Unlock()
	d.Mark = f.mark(d.Index)

	data, err := encodeFrame(frameDeltas, &d)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.frames = append(f.frames, frame{d.Seq, d.Index, data})
	f.made = d.Seq
	f.size += len(data)
	for len(f.frames) > feedKept || f.size > feedKeptBytes && len(f.frames) > 1 {
		f.size -= len(f.frames[0].data)
		f.floor = f.frames[0].index
		f.frames[0].data = nil
		f.frames = f.frames[1:]
	}
	f.mu.Unlock()
	f.changed.fire()
	return nil
}

// latestRows keeps the last change of each row, in the order of those last changes, so that a
// row still comes after what it refers to.
func latestRows(all []state.Delta) []state.Delta {
	if len(all) < 2 {
		return all
	}
	last := make(map[string]int, len(all))
	for i := range all {
		last[all[i].Key()] = i
	}
	if len(last) == len(all) {
		return all
	}
	out := make([]state.Delta, 0, len(last))
	for i := range all {
		if last[all[i].Key()] == i {
			out = append(out, all[i])
		}
	}
	return out
}

// after gives the frames that follow seq; ok is false when some of them are gone.
func (f *feed) after(seq uint64) (frames []frame, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if seq == f.seq || seq == f.made {
		return nil, true
	}
	if len(f.frames) == 0 || seq > f.seq || seq+1 < f.frames[0].seq {
		return nil, false
	}
	return append([]frame(nil), f.frames[seq+1-f.frames[0].seq:]...), true
}

// from gives the position of a follower that has all changes up to index from another server;
// ok is false when some of the later ones are gone.
func (f *feed) from(index uint64) (seq uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reset || index < f.floor || index > f.index {
		return 0, false
	}
	for _, fr := range f.frames {
		if fr.index > index {
			return fr.seq - 1, true
		}
	}
	return f.made, true
}

func (f *feed) position() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seq
}

// A follower must not be taken back in time by a server that has just started or lags: such a
// server is given catchUpLimit, then the follower goes elsewhere. When a server has been behind
// the follower for resetAfter while it heard from its leader, the cluster itself was started
// anew. resetAfter is longer than contactLimit: a leader that has just died leaves followers
// that are behind and seem to be in touch.
const (
	catchUpLimit = 4 * time.Second
	resetAfter   = 2 * time.Second
	catchUpPoll  = 10 * time.Millisecond
)

// fitFor waits until this server's state is one to go on with for a follower that is at index;
// false: it is not.
func (s *Store) fitFor(ctx context.Context, index uint64) bool {
	var behind time.Time
	for began := time.Now(); time.Since(began) < catchUpLimit; {
		switch {
		case !s.current() || !s.inTouch():
			behind = time.Time{}
		case s.state().Index() >= index:
			return true
		case behind.IsZero():
			behind = time.Now()
		case time.Since(behind) > resetAfter:
			return true
		}
		if waitOr(ctx, nil, catchUpPoll) != nil {
			return false
		}
	}
	return false
}

// serveReplica streams the catalog to a follower until it goes away.
func (s *Store) serveReplica(w http.ResponseWriter, r *http.Request) {
	st := &replicaStream{s: s, w: w, rc: http.NewResponseController(w)}
	at := position(r)
	seq, resumed := s.resume(at)
	if !resumed {
		if !s.fitFor(r.Context(), at.index) {
			http.Error(w, "this server has not caught up with its leader yet", http.StatusServiceUnavailable)
			return
		}
		seq, resumed = s.resume(at)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	st.send(frameHello, &hello{Version: streamVersion, Feed: s.feed.id, Resumed: resumed, Seq: seq})
	if !resumed {
		seq = st.snapshot()
	}
	st.follow(r.Context(), seq)
}

// followerAt is how far a follower has come: after the frame seq of a feed, and what its state is.
type followerAt struct {
	feed             string
	seq, index, mark uint64
}

// position reads it of a request; a follower that has nothing leaves words out.
func position(r *http.Request) followerAt {
	q := r.URL.Query()
	number := func(key string) uint64 {
		n, _ := strconv.ParseUint(q.Get(key), 10, 64)
		return n
	}
	return followerAt{q.Get("feed"), number("seq"), number("index"), number("mark")}
}

// resume gives the frame after which a follower can go on without a snapshot: it followed this
// server before, or another one whose log has the same entry at the follower's index.
func (s *Store) resume(at followerAt) (seq uint64, ok bool) {
	if at.feed == s.feed.id {
		if _, ok := s.feed.after(at.seq); ok {
			return at.seq, true
		}
	}
	if at.mark == 0 || at.mark != s.feed.mark(at.index) || s.state().Index() < at.index {
		return 0, false
	}
	return s.feed.from(at.index)
}

// replicaStream is one follower's stream; the first error ends it.
type replicaStream struct {
	s   *Store
	w   http.ResponseWriter
	rc  *http.ResponseController
	err error
}

func (st *replicaStream) send(kind byte, v any) {
	if st.err != nil {
		return
	}
	b, err := encodeFrame(kind, v)
	if err != nil {
		st.err = err
		return
	}
	st.write(b)
}

func (st *replicaStream) write(b []byte) {
	if st.err != nil {
		return
	}
	_ = st.rc.SetWriteDeadline(time.Now().Add(followerWrite)) // HTTP/2 streams have one
	_, st.err = st.w.Write(b)
}

func (st *replicaStream) flush() {
	if st.err == nil {
		st.err = st.rc.Flush()
	}
}

// snapshot sends all records; the position is taken before the state, so that changes between
// the two are sent twice rather than never.
func (st *replicaStream) snapshot() (seq uint64) {
	seq = st.s.feed.position()
	reader := st.s.state().Read()
	var batch records
	for rec := range reader.CatalogRecords() {
		if batch.Records = append(batch.Records, rec); len(batch.Records) == recordsPer {
			st.send(frameRecords, &batch)
			batch.Records = batch.Records[:0]
		}
	}
	if len(batch.Records) > 0 {
		st.send(frameRecords, &batch)
	}
	st.send(frameEnd, &endRecords{Index: reader.Index(), Seq: seq, Mark: st.s.feed.mark(reader.Index())})
	return seq
}

// follow sends changes as they come and a heartbeat each second.
func (st *replicaStream) follow(ctx context.Context, seq uint64) {
	beat := time.NewTicker(heartbeatTime)
	defer beat.Stop()
	st.heartbeat()
	for st.err == nil {
		changed := st.s.feed.changed.wait()
		leader := st.s.leaderChanged.wait()
		frames, ok := st.s.feed.after(seq)
		if !ok {
			return // too far behind, or the state was replaced: the follower starts anew
		}
		for _, f := range frames {
			st.write(f.data)
			seq = f.seq
		}
		if len(frames) > 0 {
			st.flush()
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-leader:
			st.heartbeat()
		case <-beat.C:
			st.heartbeat()
		}
	}
}

func (st *replicaStream) heartbeat() {
	st.send(frameHeartbeat, &heartbeat{Index: st.s.state().Index(), Leader: st.s.leaderAddr(), Lag: st.s.lastContact()})
	st.flush()
}
