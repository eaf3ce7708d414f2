package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"berth"
	"berth/internal/backoff"
	"berth/internal/config"
	"berth/internal/logs"

	"github.com/hashicorp/go-metrics"
)

// watchSignals acts on signals until the returned function is called: HUP reloads, USR1 logs
// DNS statistics, INT and TERM end the agent, a second one at once.
func (d *daemon) watchSignals(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	got := make(chan os.Signal, 4)
	signal.Notify(got, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGINT, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var ending time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-got:
				ending = d.onSignal(s, ending)
			}
		}
	}()
	return func() { cancel(); <-done; signal.Stop(got) }
}

// signalGrace is how soon a repeated signal counts as the same one: timeout(1) and some init
// systems send theirs twice.
const signalGrace = 500 * time.Millisecond

// onSignal acts on one signal. It takes and returns since when the agent is about to end; zero:
// it is not.
func (d *daemon) onSignal(s os.Signal, ending time.Time) time.Time {
	switch s {
	case syscall.SIGHUP:
		if err := d.reload(); err != nil {
			d.log.Error("reload refused, everything stays as it was", "err", err)
		}
	case syscall.SIGUSR1:
		d.log.Info("dns statistics", "stats", d.dns.Stats())
	default:
		if !ending.IsZero() && time.Since(ending) < signalGrace {
			return ending
		}
		if !ending.IsZero() {
			d.log.Error("second signal: ending at once", "signal", s.String())
			os.Exit(1)
		}
		leave := d.cfg.Leave.OnTerminate
		if s == syscall.SIGINT {
			leave = d.cfg.Leave.OnInterrupt
		}
		d.log.Info("signal received, stopping", "signal", s.String(), "leave", leave)
		d.stop(leave)
		return time.Now()
	}
	return ending
}

// reload reads the configuration again and applies what can change at run time: services,
// checks, watches, log level, DNS. When the new configuration is not valid nothing changes.
func (d *daemon) reload() error {
	next, err := d.cfg.Reload()
	if err != nil {
		return err
	}
	level, err := logs.ParseLevel(next.Log.Level)
	if err != nil {
		return err
	}
	for _, w := range next.Warnings {
		d.log.Warn(w)
	}
	if err := d.agent.Validate(berth.SourceConfig, next.Definitions.Services, next.Definitions.Checks); err != nil {
		return err
	}
	if err := d.reloadCluster(next); err != nil {
		return err
	}
	dns := dnsConfig(next, d.part("dns"))
	dns.View, dns.Remote = d.own.view, &remote{self: selfClient(d.api.InternalHandler())}
	if err := d.dns.Reload(dns); err != nil {
		return fmt.Errorf("dns: %w", err)
	}
	if err := d.applyDefinitions(next); err != nil {
		return err
	}
	d.out.SetLevel(level)
	if d.docker != nil {
		d.docker.Refresh()
	}
	if keys := d.cfg.NeedsRestart(next); len(keys) > 0 {
		d.log.Warn("changed keys that only a restart applies", "keys", strings.Join(keys, " "))
	}
	d.log.Info("configuration reloaded", "files", strings.Join(next.Files, " "))
	return nil
}

// reloadCluster applies what concerns certificates, limits, raft and metrics.
func (d *daemon) reloadCluster(next *config.Config) error {
	if d.https != nil {
		if err := d.https.load(next.TLS.HTTPS); err != nil {
			return err
		}
	}
	if d.rpc != nil {
		if err := d.rpc.load(next.TLS.RPC); err != nil {
			return err
		}
	}
	if err := d.store.SetLimits(limitsConfig(next)); err != nil {
		return err
	}
	t := next.Telemetry
	metrics.Default().UpdateFilter(t.AllowPrefixes, t.BlockPrefixes)
	return d.store.SetSnapshots(raftConfig(next))
}

func (d *daemon) applyDefinitions(c *config.Config) error {
	if err := d.agent.Replace(berth.SourceConfig, c.Definitions.Services); err != nil {
		return err
	}
	if err := d.agent.ReplaceChecks(berth.SourceConfig, c.Definitions.Checks); err != nil {
		return err
	}
	return d.watches.set(c.Definitions.Watches)
}

// autoReloadEvery is how often the configuration files are looked at.
const autoReloadEvery = time.Second

// autoReload reloads when a configuration file has changed, until ctx ends.
func (d *daemon) autoReload(ctx context.Context) error {
	last := stamps(d.cfg.Files)
	for backoff.Sleep(ctx, autoReloadEvery) == nil {
		now := stamps(d.cfg.Files)
		if now == last {
			continue
		}
		last = now
		if err := d.reload(); err != nil {
			d.log.Error("reload refused, everything stays as it was", "err", err)
		}
	}
	return nil
}

// stamps tells one state of the files from another.
func stamps(files []string) string {
	var b strings.Builder
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			fmt.Fprintf(&b, "%s gone\n", f)
			continue
		}
		fmt.Fprintf(&b, "%s %d %d\n", f, st.Size(), st.ModTime().UnixNano())
	}
	return b.String()
}

// writePIDFile writes this process's number; remove takes the file away again.
func writePIDFile(path string) (remove func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644); err != nil {
		return nil, fmt.Errorf("pid_file: %w", err)
	}
	return func() { _ = os.Remove(path) }, nil
}
