package registrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"berth"
	"berth/internal/run"
)

// Registrator watches one Docker engine and tells a Sink which services its containers want.
type Registrator struct {
	cfg    Config
	log    *slog.Logger
	sink   Sink
	filter *constraint
	tags   *tagTemplate

	dirty       *dirtySet
	inbox       chan any      // connection -> loop
	results     chan result   // inspects -> loop; as many slots as inspects in flight
	relist      chan struct{} // 1 slot: list now
	resubscribe chan struct{} // 1 slot: the stream loses events
	refresh     chan struct{} // 1 slot: build everything again
	save        chan struct{} // 1 slot: docker.json is behind
	saveFailed  atomic.Bool

	exits sync.WaitGroup // watches of processes

	stats       counters
	podman      atomic.Bool
	lastEventAt atomic.Int64 // engine clock, ns
	lastEvent   atomic.Int64 // own clock, ns

	mu    sync.Mutex // guards state; held by the loop while it works and by Explain
	state state
}

var _ interface {
	Explain(string) []berth.ContainerReport
} = (*Registrator)(nil)

// New checks cfg. It starts nothing and does not talk to Docker.
func New(cfg Config) (*Registrator, error) {
	cfg.complete()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("registrator: %w", err)
	}
	filter, err := parseConstraint(cfg.Constraint)
	if err != nil {
		return nil, fmt.Errorf("registrator: constraint: %w", err)
	}
	tags, err := newTagTemplate(cfg.Tags, cfg.AllowTemplateHTTP)
	if err != nil {
		return nil, fmt.Errorf("registrator: tags: %w", err)
	}
	r := &Registrator{
		cfg: cfg, log: cfg.Logger.With("part", "registrator"), sink: cfg.Sink, filter: filter, tags: tags,
		dirty: newDirtySet(), inbox: make(chan any), results: make(chan result, inspectWorkers),
		relist: make(chan struct{}, 1), resubscribe: make(chan struct{}, 1), refresh: make(chan struct{}, 1),
		save: make(chan struct{}, 1),
	}
	r.state.init()
	return r, nil
}

// needDetail: templates want the engine's whole inspect object.
func (r *Registrator) needDetail() bool { return r.tags.active() || r.cfg.AllowTagTemplates }

// Run serves until ctx ends and returns when all that it started has ended. It fails only when
// another agent uses the same data directory; an engine that cannot be reached is waited for.
func (r *Registrator) Run(ctx context.Context) error {
	unlock, err := lockDir(r.cfg.DataDir)
	if err != nil {
		return fmt.Errorf("registrator: %w", err)
	}
	defer unlock()
	r.loadOwned()
	g, gctx := run.New(ctx)
	g.Go(func() error { return r.connectLoop(gctx) })
	g.Go(func() error { return r.saveLoop(gctx) })
	g.Go(func() error { return r.probeLoop(gctx) })
	g.Go(func() error { return r.loop(gctx) })
	err = g.Wait()
	r.unwatchAll()
	if r.cfg.LeaveOnExit {
		r.leave()
	}
	return err
}

// leave takes out all that is registered, and the memory of it.
func (r *Registrator) leave() {
	if err := r.sink.Replace(berth.SourceDocker, nil); err != nil {
		r.log.Error("taking out the containers' services at exit", "err", err)
	}
	if r.cfg.DataDir == "" {
		return
	}
	if err := os.Remove(filepath.Join(r.cfg.DataDir, ownedFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		r.log.Warn("removing the memory of registered containers", "err", err)
	}
}

// Refresh builds every container's services again and lists anew: after a change of the node's
// address, or on SIGHUP. It never blocks.
func (r *Registrator) Refresh() {
	select {
	case r.refresh <- struct{}{}:
	default:
	}
	r.relistSoon()
}

// Ready reports whether the first full pass over the engine's containers is complete, and if
// not, why.
func (r *Registrator) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.state.eng == nil && r.state.lostWhy != nil:
		return fmt.Errorf("docker is not connected: %w", r.state.lostWhy)
	case r.state.eng == nil:
		return fmt.Errorf("docker is not connected yet")
	case !r.state.synced:
		return fmt.Errorf("the first pass over the containers is not complete")
	}
	return nil
}

// addressPoll is how often the node's address is looked at.
const addressPoll = 5 * time.Second
