package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"berth"
	"berth/internal/run"
	"berth/internal/sockets"
	"berth/store/gossip"
	"berth/store/transport"
)

// Store is an agent's part in the cluster: on servers raft and the catalog, on clients a
// replica of the catalog. Create it with New, then Handle and OnChange, then Run. All other
// methods may be called from any goroutine, before Run too; they then say that there is no
// leader yet.
type Store struct {
	cfg  Config
	log  *slog.Logger
	dir  dataDir
	id   string // node ID
	port int    // server port; 0 on clients without one
	addr string // ip:port that others reach this server at

	born time.Time

	trans *transport.Transport
	tls   transport.TLS
	lan   *gossip.Pool
	wan   *gossip.Pool // nil on clients
	node  *raftNode    // nil on clients

	catalog   catalog // where reads come from
	feed      *feed   // servers: the change streams
	view      atomic.Pointer[View]
	batch     *batcher // servers
	pilot     atomic.Pointer[pilot]
	ready     atomic.Bool // leads and has caught up
	caughtUp  atomic.Bool // this server has once had all that the cluster had committed
	leaving   atomic.Bool
	stopping  atomic.Bool
	tasks     sync.WaitGroup // short tasks that callbacks of libraries start
	handler   http.Handler
	changeFns []func([]berth.Change)

	leaderHint     atomic.Pointer[string] // clients: the leader as servers last told
	preferred      atomic.Pointer[string] // clients: the server that last answered
	leaderChanged  broadcast
	membersChanged broadcast
	wanChanged     broadcast
	memberEvents   *queue[berth.Member]
	recheck        chan struct{} // 1 slot: the leader shall look at all members again
	departing      departures
	gone           *queue[string]
	renewals       *queue[renewal]
	coords         *queue[berth.NodeCoordinate]
	promise        promise
	graves         graves // of the leader loop
	events         eventLog
	gates          atomic.Pointer[gates]
}

// New checks the configuration, locks and opens the data directory, and binds the ports. It
// starts nothing; Close frees everything if Run is not called.
func New(cfg Config) (*Store, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, log: cfg.Logger, born: time.Now(), memberEvents: newQueue[berth.Member](1024), gone: newQueue[string](256),
		renewals: newQueue[renewal](65536), recheck: make(chan struct{}, 1), coords: newQueue[berth.NodeCoordinate](coordinateBatch),
	}
	if err := s.SetLimits(cfg.Limits); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) open() (err error) {
	if s.dir, err = openDataDir(s.cfg.DataDir); err != nil {
		return err
	}
	if s.id, err = s.dir.nodeID(s.cfg.NodeID); err != nil {
		return err
	}
	if err := s.openPorts(); err != nil {
		return err
	}
	if s.cfg.Server {
		if s.node, err = openRaft(s.dir.join("raft"), s.id, s.cfg.Raft.SegmentBytes, newLibLogger(s.log, "raft")); err != nil {
			return err
		}
		s.batch = newBatcher(s.node)
	}
	return s.openCatalog()
}

// openPorts binds the server port (clients have none; they dial only) and the gossip ports.
func (s *Store) openPorts() error {
	tc := transport.Config{
		Logger: s.log, Handshake: s.cfg.Limits.Handshake, ConnsPerAddr: s.cfg.Limits.ConnsPerAddr, Long: lasting,
	}
	if drop := s.cfg.Net.Drop; drop != nil {
		tc.Dial = dropDial(drop)
	}
	if s.cfg.Server {
		l, err := sockets.ListenTCP("the server port", s.cfg.Net.BindAddr, s.cfg.Net.ServerPort)
		if err != nil {
			return err
		}
		tc.Listener = l
		s.port = l.Addr().(*net.TCPAddr).Port
		s.addr = joinHostPort(s.cfg.Net.AdvertiseAddr, fmt.Sprint(s.port))
	}
	err := s.openGossip()
	if err == nil {
		err = s.openTLS()
	}
	if err != nil {
		if tc.Listener != nil {
			tc.Listener.Close()
		}
		return err
	}
	tc.TLS = s.tls
	if s.cfg.TLS == nil {
		tc.TakeClear, tc.SendClear = s.cfg.Gossip.TakeClear, s.cfg.Gossip.SendClear
	}
	s.trans = transport.New(tc)
	return nil
}

func (s *Store) openGossip() (err error) {
	g := gossip.Config{
		Logger: s.log, Name: s.cfg.NodeName, NodeID: s.id, Datacenter: s.cfg.Datacenter,
		Key: s.cfg.EncryptKey, Rejoin: s.cfg.RejoinAfter, TombstoneTimeout: s.cfg.TombstoneAfter, LeaveDelay: s.cfg.LeaveDelay,
		NoCoordinates: s.cfg.NoCoordinates, Drop: s.cfg.Net.Drop, TakeClear: s.cfg.Gossip.TakeClear, SendClear: s.cfg.Gossip.SendClear,
	}
	if s.cfg.Server && s.cfg.Net.WANPort >= 0 {
		w := g
		w.WAN, w.Name, w.BindPort, w.AdvertiseAddr = true, s.cfg.NodeName+"."+s.cfg.Datacenter, s.cfg.Net.WANPort, s.cfg.Net.AdvertiseAddrWAN
		w.KeyringFile, w.Snapshot = s.keyringFile("remote.keyring"), s.dir.join("serf", "remote.snapshot")
		w.BindAddr, w.Allowed, w.Timing = s.cfg.Net.BindWAN, s.cfg.Net.AllowedWAN, s.cfg.Gossip.WAN
		w.ReconnectTimeout = s.cfg.Gossip.ReconnectAfterWAN
		w.OnMembers, w.Tags = s.onWAN, s.gossipTags()
		if s.wan, err = gossip.New(w); err != nil {
			return err
		}
	}
	g.BindPort, g.AdvertiseAddr = s.cfg.Net.LANPort, s.cfg.Net.AdvertiseAddr
	g.KeyringFile, g.Snapshot = s.keyringFile("local.keyring"), s.dir.join("serf", "local.snapshot")
	g.BindAddr, g.Allowed, g.Timing = s.cfg.Net.BindLAN, s.cfg.Net.AllowedLAN, s.cfg.Gossip.LAN
	g.ReconnectTimeout = s.cfg.ReconnectAfter
	g.OnMembers, g.OnEvent, g.Tags = s.onLAN, s.onEvent, s.gossipTags()
	s.lan, err = gossip.New(g)
	return err
}

// Close frees what New took when Run is not called.
func (s *Store) Close() {
	if s.trans != nil {
		s.trans.Close()
	}
	for _, p := range []*gossip.Pool{s.lan, s.wan} {
		if p != nil {
			p.Close()
		}
	}
	if s.node != nil {
		s.node.close()
	}
	s.dir.close()
}

// Handle sets what runs requests that arrive on the server port. Call it before Run.
func (s *Store) Handle(h http.Handler) { s.handler = h }

// OnChange adds a function that is called after each commit with what it touched, on the
// goroutine that applies: it must only copy and signal. Call it before Run.
func (s *Store) OnChange(f func([]berth.Change)) { s.changeFns = append(s.changeFns, f) }

// ID is this agent's node ID.
func (s *Store) ID() string { return s.id }

// Addr is the server port as others reach it, "" on clients.
func (s *Store) Addr() string { return s.addr }

// stopLimit bounds an orderly stop of raft, drainLimit the answers to what came in before.
const (
	stopLimit  = 8 * time.Second
	drainLimit = 2 * time.Second
)

// Run takes part in the cluster until ctx ends, then stops in order: duties, leadership
// handed over, raft, gossip, the port. It returns when everything has ended. An error means
// that the store could not start or that a part of it failed.
func (s *Store) Run(ctx context.Context) error {
	defer s.dir.close()
	base := context.WithoutCancel(ctx)
	port, portCtx := run.New(base)
	pools, poolCtx := run.New(base)
	work, workCtx := run.New(base)
	port.Go(func() error { return s.trans.Serve(portCtx, s.portHandler(s.handler)) })

	err := s.startRaft()
	if err == nil {
		s.startPools(pools, poolCtx)
		s.startWork(work, workCtx)
		select {
		case <-ctx.Done():
		case <-portCtx.Done():
		case <-poolCtx.Done():
		case <-workCtx.Done():
		}
	}
	s.stopping.Store(true)
	var errs []error
	if s.node != nil && err == nil {
		errs = append(errs, s.stopRaft())
		s.trans.Drain(drainLimit)
	}
	work.Stop()
	errs = append(errs, work.Wait())
	pools.Stop()
	errs = append(errs, pools.Wait())
	port.Stop()
	errs = append(errs, port.Wait())
	s.tasks.Wait()
	return errors.Join(append([]error{err}, errs...)...)
}

func (s *Store) startPools(g *run.Group, ctx context.Context) {
	g.Go(func() error { return s.lan.Run(ctx) })
	if s.wan != nil {
		g.Go(func() error { return s.wan.Run(ctx) })
	}
}

// startWork starts the store's own loops.
func (s *Store) startWork(g *run.Group, ctx context.Context) {
	loops := []func(context.Context) error{s.joinLoop, s.joinWANLoop, s.dropGone, s.sendCoordinates, s.retireKeys}
	if s.node != nil {
		loops = append(loops, s.monitorLeadership, s.bootstrapLoop, s.floodWAN, s.writeCoordinates, s.watchLeader, s.batch.run, s.feed.run)
	} else {
		loops = append(loops, s.followReplica)
	}
	for _, f := range loops {
		g.Go(func() error { return f(ctx) })
	}
}

// stopRaft hands leadership over and ends raft, within stopLimit.
func (s *Store) stopRaft() error {
	done := make(chan error, 1)
	go func() { done <- s.node.stop(s.trans.CloseRaft) }()
	t := time.NewTimer(stopLimit)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return errors.New("raft did not stop in time")
	}
}
