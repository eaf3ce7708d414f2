package store

import (
	"net/http"
	"sync"
	"time"
)

// departLimit is how long a server that asked to be removed is given to be gone.
const departLimit = 10 * time.Second

// departures are the servers that this leader took out of raft because they are about to leave.
// For a moment gossip still shows them alive; were they added again and promoted, those that
// stay might be too few to remove them once more. The zero value is ready.
type departures struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (d *departures) add(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.until == nil {
		d.until = map[string]time.Time{}
	}
	d.until[id] = time.Now().Add(departLimit)
}

// gone forgets a server: gossip knows that it has left or failed, and it may come back.
func (d *departures) gone(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.until, id)
}

func (d *departures) has(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Before(d.until[id])
}

// serveLeave removes a server that is about to leave. Should it stay after all, it is added
// again when it has had its time.
func (s *Store) serveLeave(w http.ResponseWriter, r *http.Request) {
	if s.refuseOrRunHere(w, r) {
		return
	}
	id := r.URL.Query().Get("id")
	s.departing.add(id)
	time.AfterFunc(departLimit+time.Millisecond, s.reconcileSoon)
	if err := s.leftRaft(server{id: id, name: id}); err != nil {
		answerError(w, err)
	}
}
