package store

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// hasteFor is how long the shorter timeouts hold: enough for two elections.
const hasteFor = 3 * time.Second

// haste is the state of hasten.
type haste struct {
	normal, short time.Duration // heartbeat and election timeouts

	mu    sync.Mutex // guards what follows
	until time.Time
	calm  *time.Timer // restores the normal timeouts
	ended bool
}

// hasten shortens the wait for the leader's next word for a moment. A server whose connection has
// just ended is likely to be dead, and may have been the leader; if it was not, or still lives, its
// heartbeats come well within the short timeout and nothing happens.
func (n *raftNode) hasten() {
	r := n.raft.Load()
	if r == nil || r.State() == raft.Leader {
		return
	}
	h := &n.hurry
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return
	}
	n.retime(r, h.short)
	h.until = time.Now().Add(hasteFor)
	if h.calm != nil {
		h.calm.Stop()
	}
	h.calm = time.AfterFunc(hasteFor, func() { n.calmDown(r) })
}

// calmDown restores the normal timeouts, unless they were shortened once more in the meantime.
func (n *raftNode) calmDown(r *raft.Raft) {
	h := &n.hurry
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ended && !time.Now().Before(h.until) {
		n.retime(r, h.normal)
	}
}

// retime sets the time after which a silent leader is given up, and an election without a winner.
func (n *raftNode) retime(r *raft.Raft, timeout time.Duration) {
	c := r.ReloadableConfig()
	c.HeartbeatTimeout, c.ElectionTimeout = timeout, timeout
	if err := r.ReloadConfig(c); err != nil {
		n.log.Error("raft's timeouts could not be set", "err", err)
	}
}

// end leaves the timeouts as they are from now on.
func (h *haste) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	if h.calm != nil {
		h.calm.Stop()
	}
}
