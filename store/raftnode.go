package store

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"berth"
	"berth/store/transport"
)

// Raft's timing at multiplier 1. Without any other sign a dead leader is replaced after one to three
// heartbeat timeouts; with one, see hasten.
const (
	baseHeartbeat = 700 * time.Millisecond
	baseElection  = 700 * time.Millisecond
	baseLease     = 400 * time.Millisecond
	logCacheSize  = 512
	raftPool      = 3
	raftTimeout   = 10 * time.Second
)

// raftNode is this server's part in raft: its stores on disk and the running library.
type raftNode struct {
	dir    string // "": in memory
	id     raft.ServerID
	log    hclog.Logger
	logs   raft.LogStore
	stable raft.StableStore
	snaps  raft.SnapshotStore
	disk   *raftLog // nil in memory
	trans  *raft.NetworkTransport
	raft   atomic.Pointer[raft.Raft]
	notify chan bool // leadership gained and lost, in order

	hurry haste // shorter timeouts for a moment, see hasten

	stopped   chan struct{}      // closed when raft has ended
	successor raft.ServerAddress // the leader at that time, when it is another server; set before
}

// openRaft opens the log and the snapshots; it starts nothing that takes part in the cluster.
func openRaft(dir, id string, segment int, log hclog.Logger) (*raftNode, error) {
	n := &raftNode{dir: dir, id: raft.ServerID(id), log: log, notify: make(chan bool, 16), stopped: make(chan struct{})}
	if dir == "" {
		mem := raft.NewInmemStore()
		n.logs, n.stable, n.snaps = mem, mem, raft.NewInmemSnapshotStore()
		return n, nil
	}
	w, err := openRaftLog(filepath.Join(dir, "wal"), segment, log)
	if err != nil {
		return nil, err
	}
	cache, err := raft.NewLogCache(logCacheSize, w)
	if err != nil {
		return nil, err
	}
	n.disk, n.logs, n.stable = w, cache, w
	if n.snaps, err = raft.NewFileSnapshotStoreWithLogger(dir, 2, log); err != nil {
		n.close()
		return nil, fmt.Errorf("open raft snapshots in %s: %w", dir, err)
	}
	return n, nil
}

func (n *raftNode) config(c RaftConfig) *raft.Config {
	rc := raft.DefaultConfig()
	rc.LocalID, rc.Logger, rc.NotifyCh = n.id, n.log, n.notify
	k := time.Duration(c.Multiplier)
	rc.HeartbeatTimeout, rc.ElectionTimeout, rc.LeaderLeaseTimeout = k*baseHeartbeat, k*baseElection, k*baseLease
	rc.CommitTimeout = 20 * time.Millisecond
	rc.SnapshotThreshold, rc.SnapshotInterval, rc.TrailingLogs = c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs
	rc.BatchApplyCh, rc.ShutdownOnRemove, rc.PreVoteDisabled = true, false, c.NoPreVote
	return rc
}

// start runs raft with fsm. newFSM makes throw-away FSMs for a recovery with peers.json.
// where tells a server's present address by its ID.
func (n *raftNode) start(c RaftConfig, fsm raft.FSM, newFSM func() raft.FSM, t *transport.Transport, addr string, where func(id string) string) error {
	rc := n.config(c)
	n.hurry = haste{normal: rc.HeartbeatTimeout, short: rc.LeaderLeaseTimeout}
	n.trans = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: &stream{t: t, Listener: t.RaftListener(), addr: advertised(addr), lost: n.hasten}, MaxPool: raftPool, Timeout: raftTimeout, Logger: n.log,
		ServerAddressProvider: addresses(where),
	})
	if err := n.recover(rc, newFSM); err != nil {
		n.trans.Close()
		return err
	}
	r, err := raft.NewRaft(rc, fsm, n.logs, n.stable, n.snaps, raftTransport{n.trans})
	if err != nil {
		n.trans.Close()
		return fmt.Errorf("start raft: %w", err)
	}
	n.raft.Store(r)
	return nil
}

// recover replaces raft's configuration by raft/peers.json, when an operator has put it there
// after the loss of a quorum, and removes the file.
func (n *raftNode) recover(rc *raft.Config, newFSM func() raft.FSM) error {
	if n.dir == "" {
		return nil
	}
	file := filepath.Join(n.dir, "peers.json")
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	conf, err := raft.ReadConfigJSON(file)
	if err != nil {
		return fmt.Errorf("recover with %s: %w: it must be a list of {\"id\", \"address\", \"non_voter\"}", file, err)
	}
	if err := n.checkPeers(conf); err != nil {
		return fmt.Errorf("recover with %s: %w", file, err)
	}
	if err := raft.RecoverCluster(rc, newFSM(), n.logs, n.stable, n.snaps, n.trans, conf); err != nil {
		return fmt.Errorf("recover with %s: %w", file, err)
	}
	if err := os.Remove(file); err != nil {
		return fmt.Errorf("remove %s after the recovery: %w", file, err)
	}
	n.log.Error("raft configuration was replaced from peers.json", "servers", len(conf.Servers))
	return nil
}

// checkPeers refuses a configuration by which this server could never have a leader.
func (n *raftNode) checkPeers(conf raft.Configuration) error {
	own := false
	for _, s := range conf.Servers {
		own = own || s.ID == n.id
		if _, _, err := net.SplitHostPort(string(s.Address)); err != nil {
			return fmt.Errorf("the address of server %q is %q: give host and server port", s.ID, s.Address)
		}
	}
	if !own {
		return fmt.Errorf("this server, %q, is not in the list: add it, or delete the file", n.id)
	}
	return nil
}

// empty tells whether raft has never had a configuration.
func (n *raftNode) empty() bool {
	r := n.raft.Load()
	return r != nil && len(r.GetConfiguration().Configuration().Servers) == 0 && r.LastIndex() == 0
}

// bootstrap writes the first configuration.
func (n *raftNode) bootstrap(servers []raft.Server) error {
	r := n.raft.Load()
	if r == nil {
		return berth.ErrNoLeader
	}
	err := r.BootstrapCluster(raft.Configuration{Servers: servers}).Error()
	if err != nil && !errors.Is(err, raft.ErrCantBootstrap) && !errors.Is(err, raft.ErrRaftShutdown) {
		return fmt.Errorf("bootstrap raft: %w", err)
	}
	return nil
}

// electNow makes this server stand for election without waiting for a timeout: it sends
// itself the message that a leader sends when it hands over.
func (n *raftNode) electNow() {
	req := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(n.id), Addr: []byte(n.trans.LocalAddr())}}
	if err := n.trans.TimeoutNow(n.id, n.trans.LocalAddr(), req, &raft.TimeoutNowResponse{}); err != nil {
		n.log.Debug("early election failed", "err", err)
	}
}

// alone tells whether this server is the only voter.
func (n *raftNode) alone() bool {
	r := n.raft.Load()
	if r == nil {
		return false
	}
	voters, self := 0, false
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter {
			voters++
			self = self || s.ID == n.id
		}
	}
	return self && voters == 1
}

// handedOver bounds the wait for the first word of the new leader.
const handedOver = 500 * time.Millisecond

// awaitSuccessor is the leader to whom requests that still wait here may go, "" when there is
// none within a moment.
func (n *raftNode) awaitSuccessor(r *raft.Raft) raft.ServerAddress {
	for until := time.Now().Add(handedOver); !n.alone() && time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if addr, id := r.LeaderWithID(); addr != "" && id != n.id {
			return addr
		}
	}
	return ""
}

// ended tells whether raft has been stopped.
func (n *raftNode) ended() bool {
	select {
	case <-n.stopped:
		return true
	default:
		return false
	}
}

// stop hands leadership over if there is somebody to take it, and ends raft; cut ends raft's
// connections, so that it does not wait for peers that do not answer.
func (n *raftNode) stop(cut func()) error {
	r := n.raft.Load()
	if r == nil {
		n.close()
		return nil
	}
	if r.State() == raft.Leader && !n.alone() {
		if err := r.LeadershipTransfer().Error(); err != nil {
			n.log.Warn("leadership could not be handed over", "err", err)
		}
	}
	n.successor = n.awaitSuccessor(r)
	n.hurry.end()
	done := r.Shutdown()
	cut()
	if n.disk != nil {
		n.disk.end()
	}
	err := done.Error()
	close(n.stopped)
	n.trans.Close()
	n.close()
	return err
}

// wait gives a future's error. The library leaves futures without an answer that are under way
// when it shuts down; those end here.
func (n *raftNode) wait(f raft.Future) error {
	answer := make(chan error, 1)
	go func() { answer <- f.Error() }()
	select {
	case err := <-answer:
		return err
	case <-n.stopped:
	}
	select {
	case err := <-answer:
		return err
	default:
		return raft.ErrRaftShutdown
	}
}

// mark identifies the log's entry at index, so that two servers can tell whether their logs are one
// up to there; 0 when this server has the entry no more, or not yet.
func (n *raftNode) mark(index uint64) uint64 {
	var l raft.Log
	if index == 0 || n.logs.GetLog(index, &l) != nil {
		return 0
	}
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, l.Index, l.Term, l.Type, l.AppendedAt.UnixNano())
	_, _ = h.Write(l.Data)
	return h.Sum64() | 1
}

// close frees the log's files.
func (n *raftNode) close() {
	if n.disk != nil {
		_ = n.disk.Close()
	}
}
