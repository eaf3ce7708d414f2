package store

import (
	"fmt"
	"time"

	"github.com/hashicorp/go-memdb"
	"github.com/hashicorp/raft"

	"berth"
	"berth/store/fsm"
	"berth/store/state"
)

// catalog is where this agent's reads come from: on servers raft's FSM, on clients the
// replica.
type catalog struct {
	fsm     *fsm.FSM // servers
	replica *replica // clients
}

func (s *Store) openCatalog() error {
	if s.cfg.Server {
		s.catalog.fsm = fsm.New(s.log, s.onCommit)
		s.catalog.fsm.Fatal = s.damaged
		if s.node.disk != nil {
			s.node.disk.fatal = s.damaged
		}
		s.feed = newFeed(s.node.mark)
		return nil
	}
	var err error
	s.catalog.replica, err = openReplica(s.dir.join("replica.snapshot"), s.onReplicaCommit, s.log)
	return err
}

// damaged ends the agent since an entry of its log cannot be used.
func (s *Store) damaged(err error) {
	dir := s.dir.join("raft")
	err = fmt.Errorf("the raft log in %s is damaged, or of a newer version of berth: %w: put back a copy of the data directory, "+
		"or move %s away, and this server rejoins empty and is filled by the others", dir, err, s.cfg.DataDir)
	if s.cfg.Fatal == nil {
		panic(err)
	}
	s.cfg.Fatal(err)
}

func (s *Store) raftFSM() raft.FSM      { return s.catalog.fsm }
func (s *Store) throwAwayFSM() raft.FSM { return fsm.New(s.log, nil) }

// state is the state store of the moment; a restore replaces it.
func (s *Store) state() *state.Store {
	if s.catalog.fsm != nil {
		return s.catalog.fsm.State()
	}
	return s.catalog.replica.state()
}

// onCommit runs on the goroutine that applies the log: copy and signal only.
func (s *Store) onCommit(c state.Commit) {
	s.feed.publish(c)
	s.tellChanges(c.Changes)
}

func (s *Store) onReplicaCommit(c state.Commit) { s.tellChanges(c.Changes) }

// replicaReplaced runs when a client's replica was filled anew.
func (s *Store) replicaReplaced() { s.tellChanges([]berth.Change{{All: true}}) }

func (s *Store) tellChanges(changes []berth.Change) {
	if len(changes) == 0 {
		return
	}
	for _, f := range s.changeFns {
		f(changes)
	}
}

// View is one consistent picture of nodes, services and checks, from local memory, with how
// current it is. None of its methods blocks.
type View struct {
	state.View
	reader *state.Reader
	s      *Store
}

// Synced is false on a client whose replica was never filled, and on a server that has applied
// nothing, or is still reading its log after a start. Without a leader to say where the log
// ends, a server makes do with what it has after a while.
func (v *View) Synced() bool {
	if r := v.s.catalog.replica; r != nil {
		return r.synced()
	}
	return v.Index() > 0 && (v.s.current() || time.Since(v.s.born) > staleGrace)
}

// contactLimit is how long ago a server has heard from the leader when it is in touch with it.
const contactLimit = time.Second

// current tells whether this server has once had all that the cluster had committed then. A
// server that has just started has not: which entries of its log are committed it learns only
// from a leader, and until then its state is that of its last snapshot, or empty.
func (s *Store) current() bool {
	if s.caughtUp.Load() {
		return true
	}
	if s.leads() {
		s.caughtUp.Store(true)
		return true
	}
	r := s.node.raft.Load()
	if r == nil || !s.inTouch() || r.CommitIndex() == 0 || r.AppliedIndex() < r.CommitIndex() {
		return false
	}
	s.caughtUp.Store(true)
	return true
}

// inTouch tells whether this server leads or hears from the one that does.
func (s *Store) inTouch() bool {
	return s.leads() || s.leaderAddr() != "" && s.lastContact() < contactLimit
}

// Lag is how long ago this agent last heard from a leader.
func (v *View) Lag() time.Duration { return v.s.lastContact() }

// View gives the catalog of the moment; it never blocks.
func (s *Store) View() *View {
	st := s.state()
	r := st.Read()
	if v := s.view.Load(); v != nil && v.reader == r {
		return v
	}
	v := &View{View: st.View(), reader: r, s: s}
	s.view.Store(v)
	return v
}

// lastContact is the time since this agent heard from the leader: 0 on the leader.
func (s *Store) lastContact() time.Duration {
	if s.node == nil {
		return s.catalog.replica.lag()
	}
	r := s.node.raft.Load()
	if r == nil {
		return never
	}
	if r.State() == raft.Leader {
		return 0
	}
	t := r.LastContact()
	if t.IsZero() {
		return never
	}
	return max(0, time.Since(t))
}

// never stands for a contact that has not been.
const never = 10 * 365 * 24 * time.Hour

// nodeStateHere is what this server's state has of a node; nil when nothing.
func (s *Store) nodeStateHere(name string) *berth.NodeServices {
	r := s.state().Read()
	if _, n := r.Node(nil, name); n == nil {
		return nil
	}
	_, ns := r.NodeServices(nil, name)
	return ns
}

// gossipNodes are the nodes that are in the catalog because gossip knew them.
func (s *Store) gossipNodes() []string {
	_, checks := s.state().Read().StateChecks(nil, berth.StatusAny)
	var out []string
	for _, c := range checks {
		if c.CheckID == berth.NodeHealthCheckID {
			out = append(out, c.Node)
		}
	}
	return out
}

func (s *Store) sessionsHere(ws memdb.WatchSet) []*berth.Session {
	st := s.state()
	if ws != nil {
		ws.Add(st.AbandonCh())
	}
	_, all := st.Read().Sessions(ws, "")
	return all
}

func (s *Store) storedAutopilot() *berth.AutopilotConfig {
	_, c := s.state().Read().Autopilot()
	return c
}

// StateHash is the index that this agent's state has reached and a hash of it: equal on servers
// with equal indexes. On clients it covers the catalog only.
func (s *Store) StateHash() (uint64, string) {
	r := s.state().Read()
	if s.node == nil {
		return r.Index(), r.CatalogHash()
	}
	return r.Index(), r.Hash()
}
