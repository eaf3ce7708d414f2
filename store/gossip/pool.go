package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"berth"
)

// Config of a Pool.
type Config struct {
	Logger        *slog.Logger
	WAN           bool   // slower timing; servers only; names are node.datacenter
	Name          string // member name
	NodeID        string
	Datacenter    string
	BindAddr      string
	BindPort      int // 0: any
	AdvertiseAddr string
	AdvertisePort int // 0: the bound port
	Tags          map[string]string

	Key         string // base64 gossip key; "": clear text
	KeyringFile string // where changes of the keyring are kept; "": nowhere
	Snapshot    string // serf's file of known members; "": none
	Rejoin      bool   // rejoin members of the snapshot even after a leave

	ReconnectTimeout time.Duration // a failed member is forgotten after this
	TombstoneTimeout time.Duration // a left member is forgotten after this
	ReapInterval     time.Duration // how often that is looked at; 0: follows from the above
	LeaveDelay       time.Duration // how long a leave is given to spread
	NoCoordinates    bool
	Timing           Timing
	Allowed          []netip.Prefix // networks that members may be in; empty: all

	// With a key: clear text is taken in, or sent out, as on the way to an encrypted pool.
	TakeClear, SendClear bool

	// Drop says whether what this agent sends to addr is lost; for tests. nil: nothing is.
	Drop func(addr string) bool

	// OnMembers tells which members joined, left, failed, changed or were reaped; it is a hint:
	// Members is the truth.
	OnMembers func([]berth.Member)
	// OnEvent gives a user event's payload.
	OnEvent func(name string, payload []byte, ltime uint64)
}

// ErrNotRunning: the pool has not been started, or has ended.
var ErrNotRunning = errors.New("gossip is not running")

// Pool is one gossip pool. Create it with New and run it with Run; the other methods may be
// called from any goroutine at any time.
type Pool struct {
	cfg     Config
	log     *slog.Logger
	net     *network
	keyring *memberlist.Keyring
	merge   *merge
	remarks *remarks
	serf    atomic.Pointer[serf.Serf]
	events  chan serf.Event
	turn    chan struct{} // 1 slot: held while a join or the leave runs
}

// New checks the configuration and binds the TCP and UDP sockets.
func New(cfg Config) (*Pool, error) {
	p := &Pool{cfg: cfg, log: cfg.Logger, events: make(chan serf.Event, 2048), remarks: newRemarks(), turn: make(chan struct{}, 1)}
	if len(cfg.Name) > 128 {
		return nil, fmt.Errorf("node name %q is longer than 128 characters: set a shorter node_name", cfg.Name)
	}
	if err := cfg.checkAllowed(); err != nil {
		return nil, err
	}
	if cfg.Snapshot != "" {
		if err := os.MkdirAll(filepath.Dir(cfg.Snapshot), 0o700); err != nil {
			return nil, fmt.Errorf("gossip directory: %w", err)
		}
	}
	var err error
	if p.keyring, err = loadKeyring(cfg.Key, cfg.KeyringFile); err != nil {
		return nil, err
	}
	if p.net, err = bind(cfg, stdLogger(cfg.Logger, p.remarks)); err != nil {
		return nil, err
	}
	p.merge = &merge{p: p}
	return p, nil
}

// Port is the bound port.
func (p *Pool) Port() int { return p.net.GetAutoBindPort() }

// Run starts the pool and blocks until ctx ends, then shuts it down without leaving.
func (p *Pool) Run(ctx context.Context) error {
	s, err := serf.Create(p.serfConfig())
	if err != nil {
		p.net.Shutdown()
		return fmt.Errorf("start gossip: %w", err)
	}
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		p.net.deliver(done)
	}()
	p.serf.Store(s)
	p.dispatch(ctx)
	p.serf.Store(nil)
	err = s.Shutdown()
	close(done)
	<-over
	if err != nil {
		return fmt.Errorf("stop gossip: %w", err)
	}
	return nil
}

// Close frees the sockets of a pool that was never run.
func (p *Pool) Close() { p.net.Shutdown() }

// dispatch hands serf's events to the callbacks until ctx ends. Events that wait together are
// handed over together.
func (p *Pool) dispatch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-p.events:
			var members []berth.Member
			for more := true; more; {
				members = p.handle(e, members)
				select {
				case e = <-p.events:
				default:
					more = false
				}
			}
			if len(members) > 0 && p.cfg.OnMembers != nil {
				p.cfg.OnMembers(members)
			}
		}
	}
}

func (p *Pool) handle(e serf.Event, members []berth.Member) []berth.Member {
	switch e := e.(type) {
	case serf.MemberEvent:
		for _, m := range e.Members {
			bm := p.member(m)
			if e.Type == serf.EventMemberReap {
				bm.Status = berth.MemberLeft
			}
			members = append(members, bm)
		}
	case serf.UserEvent:
		if p.cfg.OnEvent != nil {
			p.cfg.OnEvent(e.Name, e.Payload, uint64(e.LTime))
		}
	}
	return members
}

func (p *Pool) serfConfig() *serf.Config {
	c, ml := serf.DefaultConfig(), memberlist.DefaultLANConfig()
	if p.cfg.WAN {
		ml = memberlist.DefaultWANConfig()
	}
	logger := stdLogger(p.log, p.remarks)
	ml.Name, ml.Logger, ml.LogOutput = p.cfg.Name, logger, nil
	ml.Transport, ml.BindAddr, ml.BindPort = p.net, p.cfg.BindAddr, p.Port()
	ml.AdvertiseAddr, ml.AdvertisePort = p.cfg.AdvertiseAddr, p.cfg.AdvertisePort
	if ml.AdvertisePort == 0 {
		ml.AdvertisePort = p.Port()
	}
	p.cfg.Timing.apply(ml)
	p.cfg.allow(ml)
	ml.GossipVerifyIncoming, ml.GossipVerifyOutgoing = !p.cfg.TakeClear, !p.cfg.SendClear
	ml.Keyring, ml.DeadNodeReclaimTime = p.keyring, time.Millisecond // a failed member may come back elsewhere at once
	c.MemberlistConfig, c.NodeName, c.Tags, c.EventCh = ml, p.cfg.Name, p.cfg.Tags, p.events
	c.Logger, c.LogOutput = logger, nil
	ml.Merge, ml.Alive = p.merge, p.merge
	c.EnableNameConflictResolution, c.DisableCoordinates = false, p.cfg.NoCoordinates
	c.KeyringFile, c.SnapshotPath, c.RejoinAfterLeave = p.cfg.KeyringFile, p.cfg.Snapshot, p.cfg.Rejoin
	c.QueueDepthWarning, c.MinQueueDepth = 1_000_000, 4096
	setIf(&c.ReconnectTimeout, p.cfg.ReconnectTimeout)
	setIf(&c.TombstoneTimeout, p.cfg.TombstoneTimeout)
	setIf(&c.LeavePropagateDelay, p.cfg.LeaveDelay)
	c.ReconnectTimeoutOverride = memberTimes{}
	c.ReapInterval = min(reapEvery, max(200*time.Millisecond, min(c.ReconnectTimeout, c.TombstoneTimeout)/4))
	setIf(&c.ReapInterval, p.cfg.ReapInterval)
	return c
}

func setIf(d *time.Duration, v time.Duration) {
	if v > 0 {
		*d = v
	}
}

// Members lists the pool's members, this agent included, sorted by name.
func (p *Pool) Members() []berth.Member {
	s := p.serf.Load()
	if s == nil {
		return nil
	}
	all := s.Members()
	out := make([]berth.Member, 0, len(all))
	for _, m := range all {
		out = append(out, p.member(m))
	}
	slices.SortFunc(out, func(a, b berth.Member) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Local is this agent as a member; the zero Member before Run.
func (p *Pool) Local() berth.Member {
	s := p.serf.Load()
	if s == nil {
		return berth.Member{}
	}
	return p.member(s.LocalMember())
}

func (p *Pool) member(m serf.Member) berth.Member {
	return berth.Member{
		Name: m.Name, Addr: m.Addr.String(), Port: m.Port, Tags: m.Tags, Status: berth.MemberStatus(m.Status),
		ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax, ProtocolCur: m.ProtocolCur,
		DelegateMin: m.DelegateMin, DelegateMax: m.DelegateMax, DelegateCur: m.DelegateCur,
		Remark: p.remarks.of(m.Name),
	}
}

// leaveLimit is how long a leave waits for a join that is under way.
const leaveLimit = 5 * time.Second

// Leave tells the pool that this agent goes for good; it blocks while that spreads. A join under
// way ends first: its news would come after that of the leave and take it back, and the others
// would see this agent fail instead.
func (p *Pool) Leave() error {
	s := p.serf.Load()
	if s == nil {
		return ErrNotRunning
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-time.After(leaveLimit):
	}
	return s.Leave()
}

// ForceLeave turns a failed member into a left one; prune forgets it altogether.
func (p *Pool) ForceLeave(name string, prune bool) error {
	s := p.serf.Load()
	if s == nil {
		return ErrNotRunning
	}
	if prune {
		return s.RemoveFailedNodePrune(name)
	}
	return s.RemoveFailedNode(name)
}

// SetTags replaces the tags that this agent shows; they are sent to all members.
func (p *Pool) SetTags(tags map[string]string) error {
	s := p.serf.Load()
	if s == nil {
		return ErrNotRunning
	}
	return s.SetTags(tags)
}

// UserEvent spreads a custom event.
func (p *Pool) UserEvent(name string, payload []byte) error {
	s := p.serf.Load()
	if s == nil {
		return ErrNotRunning
	}
	return s.UserEvent(name, payload, false)
}

// Stats are serf's counters.
func (p *Pool) Stats() map[string]string {
	s := p.serf.Load()
	if s == nil {
		return map[string]string{}
	}
	return s.Stats()
}
