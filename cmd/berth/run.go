package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"berth"
	"berth/agent"
	"berth/dnsproxy"
	"berth/httpapi"
	"berth/internal/backoff"
	"berth/internal/config"
	"berth/internal/gcpace"
	"berth/internal/hostdns"
	"berth/internal/logs"
	"berth/registrator"
	"berth/store"

	"github.com/hashicorp/go-metrics"
)

// The seams: what one side offers is what the other declared.
var (
	_ registrator.Sink  = (*agent.Agent)(nil)
	_ agent.Catalog     = (*store.Store)(nil)
	_ httpapi.Store     = (*store.Store)(nil)
	_ httpapi.Agent     = (*agent.Agent)(nil)
	_ httpapi.Explainer = explainer{}
	_ httpapi.Logs      = (*logs.Log)(nil)
	_ dnsproxy.View     = (*store.View)(nil)
)

// daemon is one running agent: its parts, in the order in which they start.
type daemon struct {
	cfg *config.Config
	log *slog.Logger
	out *logs.Log

	dns     *dnsproxy.Server
	store   *store.Store
	agent   *agent.Agent
	api     *httpapi.Server
	docker  *registrator.Registrator // nil: not wanted
	watches *watches
	own     *ownership
	metrics *telemetry
	gone    *forgotten // what users deregister in the catalog
	https   *serverTLS // nil: no certificate
	rpc     *rpcTLS    // nil: follows from the gossip key

	stop func(leave bool) // asks the daemon to end, at most once
	left chan error       // closed when the node has left; before that an error if it could not
}

// runAgent runs the agent until ctx ends, a signal comes, or a part of it fails.
func runAgent(ctx context.Context, cfg *config.Config, ui io.Writer) error {
	raiseBindRight()
	useProcessors(cfg)
	if !cfg.Log.JSON { // whoever reads JSON reads nothing else
		fmt.Fprint(ui, banner(cfg))
	}
	out, closeLog, err := openLog(cfg.Log, ui)
	if err != nil {
		return err
	}
	defer closeLog()
	d := &daemon{cfg: cfg, out: out, log: out.Logger()}
	if d.metrics, err = openTelemetry(cfg.Telemetry, d.log); err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		d.log.Warn(w)
	}
	if err := d.open(); err != nil {
		d.closeAll()
		return err
	}
	removePID, err := writePIDFile(cfg.Node.PIDFile)
	if err != nil {
		d.closeAll()
		return err
	}
	defer removePID()
	return d.run(ctx)
}

// useProcessors gives a durable server one processor of Go's more than the machine has: its writes
// wait for the disk in system calls, each of which keeps one for a moment, while others could run.
func useProcessors(cfg *config.Config) {
	if cfg.Server.Enabled && cfg.Node.DataDir != "" && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}

// open makes all parts and binds all listeners; nothing runs yet.
func (d *daemon) open() (err error) {
	if err := d.openStore(); err != nil {
		return err
	}
	ac := agentConfig(d.cfg, d.part("agent"), d.store)
	if ac.CheckTLS, err = checkTLS(d.cfg); err != nil {
		return err
	}
	if d.agent, err = agent.New(ac); err != nil {
		return err
	}
	if d.cfg.Registrator.Enabled {
		if d.docker, err = registrator.New(registratorConfig(d.cfg, d.log, d.agent)); err != nil {
			return err
		}
	}
	if d.https, err = newServerTLS(d.cfg.TLS.HTTPS); err != nil {
		return err
	}
	if d.api, err = httpapi.New(d.apiConfig()); err != nil {
		return err
	}
	d.store.Handle(d.api.InternalHandler())
	d.store.FilterEvents(func(e *berth.UserEvent) bool { return eventMeans(e, d.cfg.Node.Name, d.agent.Services()) })
	dns := dnsConfig(d.cfg, d.part("dns"))
	d.own = &ownership{node: d.cfg.Node.Name, store: d.store, agent: d.agent, docker: d.docker}
	dns.View = d.own.view
	dns.Remote = &remote{self: selfClient(d.api.InternalHandler())}
	if d.dns, err = dnsproxy.New(dns); err != nil {
		return dnsFailure(err)
	}
	d.own.dns = d.dns
	d.store.OnChange(d.dns.CatalogChanged)
	d.gone = newForgotten(d)
	d.store.OnChange(d.gone.changed)
	d.metrics.watch(d.agent, d.dns, d.docker)
	if err := d.agent.Replace(berth.SourceConfig, d.cfg.Definitions.Services); err != nil {
		return err
	}
	if err := d.agent.ReplaceChecks(berth.SourceConfig, d.cfg.Definitions.Checks); err != nil {
		return err
	}
	d.watches = newWatches(d.api.Handler(), d.part("watch"))
	return d.watches.set(d.cfg.Definitions.Watches)
}

func (d *daemon) openStore() (err error) {
	c := storeConfig(d.cfg, d.part("store"))
	c.Fatal = func(err error) {
		d.log.Error("ending at once", "err", err)
		os.Exit(exitFailed)
	}
	if d.rpc, err = newRPCTLS(d.cfg); err != nil {
		return err
	}
	if d.rpc != nil {
		c.TLS = d.rpc
	}
	d.store, err = store.New(c)
	return err
}

// dnsError is why DNS cannot be served on an address that was asked for: an agent without DNS is of
// no use to its host, and whoever starts it may want to know by the exit status.
type dnsError struct{ error }

// dnsFailure marks the errors of binding.
func dnsFailure(err error) error {
	for _, no := range []syscall.Errno{syscall.EADDRINUSE, syscall.EADDRNOTAVAIL, syscall.EACCES} {
		if errors.Is(err, no) {
			return dnsError{err}
		}
	}
	return err
}

// ExitStatus is the process's.
func (dnsError) ExitStatus() int { return exitNoDNS }

func (e dnsError) Unwrap() error { return e.error }

func (d *daemon) part(name string) *slog.Logger { return d.log.With("part", name) }

// closeAll frees what open took; for a start that failed.
func (d *daemon) closeAll() {
	if d.dns != nil {
		_ = d.dns.Close()
	}
	if d.api != nil {
		_ = d.api.Close()
	}
	if d.store != nil {
		d.store.Close()
	}
}

// run starts the parts in order and stops them in the opposite one: first no new containers,
// then no new requests, the agent's last word to the catalog, the cluster, and DNS last.
func (d *daemon) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := []part{
		{name: "dns", run: d.dns.Run, limit: 3 * time.Second},
		{name: "store", run: d.store.Run, limit: 12 * time.Second},
		{name: "agent", run: d.agent.Run, limit: 5 * time.Second},
		{name: "deregistrations", run: d.gone.run, limit: 3 * time.Second},
		{name: "http", run: d.api.Run, limit: 6 * time.Second},
		{name: "watches", run: d.watches.Run, limit: 3 * time.Second},
		{name: "own instances", run: d.own.run, limit: time.Second},
	}
	if d.cfg.Checks.RemoteExec {
		exec := &remoteExec{cl: selfClient(d.api.Handler()), node: d.cfg.Node.Name, log: d.part("exec")}
		parts = append(parts, part{name: "remote exec", run: exec.run, limit: 3 * time.Second})
	}
	parts = append(parts, part{name: "address", run: d.watchAddress, limit: time.Second})
	parts = append(parts, part{name: "host dns", run: d.watchHostDNS, limit: time.Second})
	parts = append(parts, part{name: "gc pace", run: gcpace.Run, limit: time.Second})
	if d.cfg.AutoReload {
		parts = append(parts, part{name: "auto reload", run: d.autoReload, limit: time.Second})
	}
	if d.docker != nil {
		parts = append(parts, part{name: "registrator", run: d.docker.Run, limit: 3 * time.Second})
	}
	end := make(chan bool, 1)
	d.stop = func(leave bool) {
		select {
		case end <- leave:
		default:
		}
	}
	d.left = make(chan error, 1)
	signals := d.watchSignals(ctx)
	defer signals()
	s := startParts(ctx, parts)
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-s.failed:
	case leave := <-end:
		if leave {
			d.drain(ctx)
			s.delay("http", "store", d.leave)
		}
	}
	err := s.stopAll(d.log)
	if failed != nil {
		return failed
	}
	return err
}

// drain takes this host's instances out of DNS everywhere, by a critical check of the node that
// nothing keeps, and gives those who use them the drain time.
func (d *daemon) drain(ctx context.Context) {
	d.log.Info("leaving the cluster", "drain", d.cfg.Leave.DrainTime)
	if d.cfg.Leave.DrainTime <= 0 || len(d.agent.Services()) == 0 {
		return
	}
	check := berth.CheckDefinition{
		ID: "_node_drain", Name: "Node is leaving", Passive: true, Type: berth.CheckMaintenance, Status: berth.StatusCritical,
	}
	if err := d.agent.ReplaceChecks("drain", []berth.CheckDefinition{check}); err != nil {
		d.log.Warn("instances could not be drained", "err", err)
		return
	}
	_ = backoff.Sleep(ctx, d.cfg.Leave.DrainTime)
}

// leaveLimit bounds a graceful leave, the drain time not counted.
const leaveLimit = 15 * time.Second

// leave tells the others that this node goes for good. The agent must have stopped: nothing may
// be written for the node afterwards.
func (d *daemon) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveLimit)
	defer cancel()
	if err := d.store.Leave(ctx); err != nil {
		d.log.Error("leave failed; the others will see this node as failed", "err", err)
		d.left <- fmt.Errorf("leave failed; the others will see this node as failed: %w", err)
	}
	close(d.left)
}

// leaveAndWait is for the API: the daemon leaves and ends; the answer comes when it has left.
func (d *daemon) leaveAndWait(ctx context.Context) error {
	d.stop(true)
	select {
	case err := <-d.left:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watchHostDNS says when somebody replaces the resolver settings that `berth host install` made,
// and makes them again if that is wanted.
func (d *daemon) watchHostDNS(ctx context.Context) error {
	log := d.part("host dns")
	hostdns.Watch(ctx, hostdns.RecordFile, func(h hostdns.Hijack) {
		metrics.IncrCounter([]string{"resolvconf_hijacked"}, 1)
		log := log.With("path", h.Path, "by", h.By)
		if d.cfg.DNS.Reassert {
			err := h.Reassert()
			if err == nil {
				log.Warn("another program replaced the host's resolver settings, they were set again")
				return
			}
			log = log.With("reassert", err)
		}
		log.Warn("another program has replaced the host's resolver settings, names of services may not resolve here; " +
			"run `berth host doctor` to see why and `berth host install` to set them again")
	})
	return nil
}

// apiConfig is for the HTTP side, with what the API may ask of the daemon.
func (d *daemon) apiConfig() httpapi.Config {
	c := httpConfig(d.cfg, d.part("http"), d.store.ID())
	c.Store, c.Agent, c.Logs = d.store, d.agent, d.out
	if d.docker != nil {
		c.Explainer = explainer{wanted: d.docker, local: d.agent}
	}
	c.Metrics = d.metrics.json()
	if d.metrics.registry != nil {
		c.Gatherer = d.metrics.registry
	}
	if d.https != nil {
		c.TLS = d.https.config()
	}
	c.Reload = func(context.Context) error { return d.reload() }
	c.Leave = d.leaveAndWait
	return c
}

// part is a component that runs until its context ends.
type part struct {
	name  string
	run   func(context.Context) error
	limit time.Duration // to stop
	last  func()        // called before it is stopped, after all later ones have stopped
}

// running are the parts that were started, in the order of their start.
type running struct {
	parts  []*startedPart
	failed chan error // the first part that ended by itself
}

type startedPart struct {
	part
	cancel context.CancelFunc
	done   chan error
}

// startParts runs each part in a goroutine of its own.
func startParts(ctx context.Context, parts []part) *running {
	s := &running{failed: make(chan error, len(parts))}
	for _, p := range parts {
		pctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan error, 1)
		go func() {
			err := p.run(pctx)
			if pctx.Err() == nil {
				s.failed <- fmt.Errorf("%s ended: %w", p.name, errOr(err, "without a reason"))
			}
			done <- err
		}()
		s.parts = append(s.parts, &startedPart{p, cancel, done})
	}
	return s
}

func errOr(err error, text string) error {
	if err == nil {
		return errors.New(text)
	}
	return err
}

// delay has one part stopped just before another one instead of in its turn, and f called before it.
func (s *running) delay(name, until string, f func()) {
	named := func(n string) int { return slices.IndexFunc(s.parts, func(p *startedPart) bool { return p.name == n }) }
	p := s.parts[named(name)]
	p.last = f
	s.parts = slices.Delete(s.parts, named(name), named(name)+1)
	s.parts = slices.Insert(s.parts, named(until)+1, p)
}

// stopAll stops the parts, last started first, each within its limit.
func (s *running) stopAll(log *slog.Logger) error {
	var errs []error
	for _, p := range slices.Backward(s.parts) {
		if p.last != nil {
			p.last()
		}
		p.cancel()
		t := time.NewTimer(p.limit)
		select {
		case err := <-p.done:
			if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, http.ErrServerClosed) {
				errs = append(errs, fmt.Errorf("stopping %s: %w", p.name, err))
			}
		case <-t.C:
			log.Error("a part did not stop in time", "part", p.name, "limit", p.limit)
			errs = append(errs, fmt.Errorf("stopping %s: not done within %v", p.name, p.limit))
		}
		t.Stop()
	}
	return errors.Join(errs...)
}
