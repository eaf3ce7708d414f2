// Package agent holds this host's services and checks and keeps the catalog in step with them.
//
// What shall be registered comes from sources (docker, config, api), each a complete desired
// set. The agent merges them by service ID, runs the checks, and repeats until the catalog
// agrees: changes are written at once, in batches, and a full compare runs on a timer. See
// DESIGN.md.
package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"berth"
	"berth/agent/check"
	"berth/internal/run"
)

// Catalog is the replicated catalog, as far as an agent needs it. Calls may take as long as
// their context lets them; they fail with berth.ErrNoLeader, berth.ErrNoServers and the like.
type Catalog interface {
	// NodeState is what the catalog has of this node (nil Node: nothing), from the leader.
	NodeState(ctx context.Context, node string) (*berth.NodeServices, error)
	// Write applies ops in order as one log entry. errs[i] is why op i was refused; errs is
	// nil when all were taken.
	Write(ctx context.Context, ops []berth.CatalogOp) (errs []error, err error)
}

// Config is what an agent needs to know. It is not changed after New.
type Config struct {
	Logger *slog.Logger

	Node            string // name of this node
	NodeID          string
	Datacenter      string
	Address         string // of the node, as the catalog shall have it
	NodeMeta        map[string]string
	TaggedAddresses map[string]string

	DataDir string // "": nothing is kept over a restart

	Catalog     Catalog
	Nodes       check.Nodes // for alias checks of other nodes; nil: those are refused
	ClusterSize func() int  // members of the datacenter, for pacing; nil: 1

	// CheckUpdateInterval paces the replication of check output that comes with no change of
	// status: after half of it plus up to all of it at random. 0: at once.
	CheckUpdateInterval time.Duration
	CheckOutputMaxSize  int  // bytes of output kept of a check; 0: 4096
	DiscardCheckOutput  bool // keep no output at all

	EnableScriptChecks      bool // script and exec checks from anywhere
	EnableLocalScriptChecks bool // script and exec checks from config only

	Docker check.DockerClient // of exec checks; nil: DOCKER_HOST or the default socket

	// CheckTLS has the certificate and authorities of checks with TLS; nil: none of their own.
	CheckTLS func() *tls.Config

	// Sources are those that are going to call Replace, such as docker. What the catalog has of
	// them (metadata berth-source) is left alone until they do, however long that takes, so
	// that a restarted agent does not take out running containers.
	Sources []string
	// AwaitSources is how long after the start other sources are awaited like that. 0: 2 minutes.
	AwaitSources time.Duration
}

// Agent is this host's part of the catalog. Its methods are safe for concurrent use.
type Agent struct {
	cfg     Config
	log     *slog.Logger
	runners *check.Runners
	sched   *check.Scheduler
	saved   *journal // api's services and checks, maintenance, drops; durable
	states  *journal // last status of checks; not synced
	wake    chan struct{}
	kick    chan struct{} // like wake, and ends a back-off
	flush   chan struct{} // states has something to write
	stopped chan struct{} // closed when Run is about to return

	mu sync.Mutex // guards all below; no I/O and no call out under it
	tables
	syncState
	savedStates
	views
	counted
	polls  *pollers
	closed bool
}

// tables are the merged, effective services and checks, and where they come from.
type tables struct {
	sources   []*source          // highest rank first
	services  map[string]*local  // by service ID
	checks    map[string]*probed // by check ID
	byService map[string]idSet   // service ID -> IDs in checks
	aliases   idSet              // IDs in checks that are local aliases
}

// syncState is what the sync loop and those who wait for it share.
type syncState struct {
	node      *berth.Node // as it shall be in the catalog
	dirty     *dirtySet
	next      *round            // the one that will take what is dirty
	inflight  *round            // the one that is being written
	needFull  bool              // a compare is due
	comparing bool              // one is under way
	crowd     int               // callers that waited for the last round or wait already
	took      time.Duration     // by the last write; the sync loop's own
	noRemove  time.Time         // until then silent sources' entries are left alone
	invalid   map[string]string // why definitions of docker's last set were left out, by service ID
	warned    map[string]string // what was logged about an entry, so that it is not again
}

// savedStates is about what is kept over a restart.
type savedStates struct {
	states0    map[string]savedState // loaded and not claimed yet, by check ID
	stateDirty idSet                 // IDs of checks whose status is to be saved
	loading    bool                  // what was saved is not worth a log line each
	settled    bool                  // see settle
}

// counted is for Stats.
type counted struct {
	runs    map[string]RunStats // by type
	changes uint64              // of a check's status
}

// views are what readers get.
type views struct {
	changed   chan struct{}            // nil: nobody watches
	servicesV []*berth.ServiceInstance // nil: rebuild
	checksV   []*berth.Check           // nil: rebuild
}

type idSet map[string]struct{}

func (s idSet) add(id string) { s[id] = struct{}{} }

// New checks cfg and loads what was kept in its data directory. It starts nothing.
func New(cfg Config) (*Agent, error) {
	switch {
	case cfg.Logger == nil:
		return nil, errors.New("agent: Logger is not set")
	case cfg.Catalog == nil:
		return nil, errors.New("agent: Catalog is not set")
	case cfg.Node == "":
		return nil, errors.New("agent: node name is empty")
	}
	if cfg.CheckOutputMaxSize <= 0 {
		cfg.CheckOutputMaxSize = check.DefaultOutputMax
	}
	if cfg.AwaitSources == 0 {
		cfg.AwaitSources = 2 * time.Minute
	}
	if cfg.ClusterSize == nil {
		cfg.ClusterSize = func() int { return 1 }
	}
	a := &Agent{
		cfg:     cfg,
		log:     cfg.Logger,
		wake:    make(chan struct{}, 1),
		kick:    make(chan struct{}, 1),
		flush:   make(chan struct{}, 1),
		stopped: make(chan struct{}),
		tables: tables{
			services: map[string]*local{}, checks: map[string]*probed{}, byService: map[string]idSet{}, aliases: idSet{},
		},
		syncState:   syncState{dirty: newDirtySet(), next: newRound(), needFull: true, warned: map[string]string{}},
		savedStates: savedStates{states0: map[string]savedState{}, stateDirty: idSet{}},
		polls:       newPollers(),
		sched:       check.NewScheduler(),
	}
	a.noRemove = time.Now().Add(cfg.AwaitSources)
	a.completeNode(nil)
	a.runners = check.NewRunners(check.Config{
		Logger: cfg.Logger, OutputMax: cfg.CheckOutputMaxSize, Docker: cfg.Docker, TLS: cfg.CheckTLS,
	})
	if cfg.DataDir != "" {
		if err := a.openJournals(); err != nil {
			return nil, fmt.Errorf("agent: %w", err)
		}
	}
	return a, nil
}

func (a *Agent) openJournals() (err error) {
	if a.saved, err = openJournal(filepath.Join(a.cfg.DataDir, "services", "journal"), true, a.log); err != nil {
		return err
	}
	if a.states, err = openJournal(filepath.Join(a.cfg.DataDir, "checks", "journal"), false, a.log); err != nil {
		return errors.Join(err, a.saved.close())
	}
	a.load()
	return nil
}

// Run keeps the catalog in step and runs the checks until ctx ends; then it writes the last
// changes out (for at most 2 seconds) and returns when all it started has ended.
func (a *Agent) Run(ctx context.Context) error {
	a.mu.Lock()
	a.noRemove = time.Now().Add(a.cfg.AwaitSources)
	a.mu.Unlock()
	g, ctx := run.New(ctx)
	g.Go(func() error { return a.sched.Run(ctx) })
	g.Go(func() error { return a.syncLoop(ctx) })
	g.Go(func() error { return a.saveLoop(ctx) })
	g.Go(func() error { return a.polls.run(ctx) })
	err := g.Wait()
	a.shutdown()
	return errors.Join(err, a.states.close(), a.saved.close())
}

// shutdown stops timers and makes later calls fail.
func (a *Agent) shutdown() {
	a.mu.Lock()
	a.saveStates()
	a.closed = true
	for _, c := range a.checks {
		c.stop()
	}
	a.mu.Unlock()
	close(a.stopped)
	a.runners.Close()
}

// answerAfter is how long a caller waits at most for the catalog to have its change.
const answerAfter = 2 * time.Second

// await returns when r is over, when the caller's ctx is (gone, its Done), or after
// answerAfter: the change is accepted either way.
func (a *Agent) await(gone <-chan struct{}, r *round) {
	if r == nil {
		return
	}
	t := time.NewTimer(answerAfter)
	defer t.Stop()
	select {
	case <-r.done:
	case <-t.C:
	case <-gone:
	case <-a.stopped:
	}
}

// jittered is d plus up to d.
func jittered(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d + rand.N(d)
}

// signal puts a token into a 1-slot channel.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
