package registrator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"time"

	"berth/internal/backoff"
	"berth/internal/run"
)

const (
	connectTimeout  = 10 * time.Second // ping, version and info together
	headersTimeout  = 5 * time.Second  // some engines send no header before the first event
	listTimeout     = 15 * time.Second
	inspectTimeout  = 5 * time.Second
	pingEvery       = 10 * time.Second
	pingTimeout     = 3 * time.Second
	sinceOverlap    = 2 * time.Second
	longStream      = time.Minute // a stream cut after this long is a proxy's habit
	stableStream    = 30 * time.Second
	permissionPause = 10 * time.Second
)

// errResubscribe: the stream is thought to lose events.
var errResubscribe = errors.New("events were missed or the engine changed, connecting again")

// What the connection tells the loop.
type (
	connected struct {
		eng  *engine
		info engineInfo
		list []listed
	}
	disconnected struct{ err error }
	relisted     struct{ list []listed }
)

// connectLoop keeps a connection to the engine for ever.
func (r *Registrator) connectLoop(ctx context.Context) error {
	var pause backoff.Backoff
	var lastText string
	for {
		began := time.Now()
		eng, err := r.connection(ctx)
		if eng != nil {
			eng.close()
		}
		if ctx.Err() != nil {
			return nil
		}
		r.stats.reconnects.Add(1)
		r.send(ctx, disconnected{err})
		lived := time.Since(began)
		if lived > stableStream {
			pause.Reset()
		}
		if lived > longStream {
			lastText = ""
		}
		wait := pause.Next()
		lastText = r.logLost(err, lived, lastText)
		if errors.Is(err, fs.ErrPermission) {
			wait = permissionPause
		}
		if backoff.Sleep(ctx, wait) != nil {
			return nil
		}
	}
}

// logLost says once why there is no engine; the same reason again only goes to debug.
func (r *Registrator) logLost(err error, lived time.Duration, lastText string) string {
	text := err.Error()
	level := r.log.Warn
	switch {
	case text == lastText, lived > longStream && endOfStream(err):
		level = r.log.Debug
	}
	args := []any{"err", err}
	if help := remedy(err); help != "" {
		args = append(args, "remedy", help)
	}
	level("docker is not connected, trying again for ever", args...)
	return text
}

func endOfStream(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// remedy is what a person can do about err.
func remedy(err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, fs.ErrPermission) || strings.Contains(text, "permission denied"):
		return "run the agent in the group that owns the socket (docker) or as root"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "start dockerd; when the socket is mounted as a file, mount its folder /var/run instead"
	case errors.Is(err, os.ErrNotExist) || strings.Contains(text, "Cannot connect") || strings.Contains(text, "no such file"):
		return "start dockerd, or name its endpoint by DOCKER_HOST; when the socket is mounted as a file, mount its folder /var/run instead"
	case strings.Contains(text, "403") || strings.Contains(text, "Forbidden"):
		return "allow EVENTS, PING, VERSION, INFO, CONTAINERS and NETWORKS in the socket proxy"
	}
	return ""
}

// connection makes one connection and serves it until it ends.
func (r *Registrator) connection(ctx context.Context) (*engine, error) {
	ep, err := findEngine(&r.cfg)
	if err != nil {
		return nil, err
	}
	eng, err := newEngine(ep, r.cfg.Dial, r.needDetail())
	if err != nil {
		return nil, err
	}
	info, err := r.hello(ctx, eng, ep)
	if err != nil {
		return eng, err
	}
	g, cctx := run.New(ctx)
	ready := make(chan struct{})
	since := r.since(info)
	g.Go(func() error {
		err := eng.events(cctx, since, func() { close(ready) }, r.observe)
		if err == nil {
			err = io.EOF
		}
		return fmt.Errorf("event stream ended: %w", err)
	})
	g.Go(func() error { return watchdog(cctx, eng) })
	g.Go(func() error { return r.lister(cctx, eng, info, ready) })
	err = g.Wait()
	return eng, err
}

// hello negotiates the API version and asks who the engine is.
func (r *Registrator) hello(ctx context.Context, eng *engine, ep engineEndpoint) (engineInfo, error) {
	hctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := eng.negotiate(hctx); err != nil {
		return engineInfo{}, fmt.Errorf("docker at %s (from %s): %w", ep.host, ep.from, unwrapDial(ctx, r, ep, err))
	}
	info, err := eng.info(hctx)
	if err != nil {
		return info, fmt.Errorf("docker at %s (from %s): %w", ep.host, ep.from, err)
	}
	r.podman.Store(info.podman)
	return info, nil
}

// unwrapDial finds the reason that the library's "Cannot connect" text hides.
func unwrapDial(ctx context.Context, r *Registrator, ep engineEndpoint, err error) error {
	path, isUnix := strings.CutPrefix(ep.host, "unix://")
	if !isUnix || r.cfg.Dial != nil || ctx.Err() != nil {
		return err
	}
	if derr := dialUnix(path); derr != nil {
		return derr
	}
	return err
}

// since is from when on events are wanted: a little before now, or before the last one seen,
// whichever is earlier, by the engine's clock. What is replayed twice does no harm.
func (r *Registrator) since(info engineInfo) time.Time {
	now := info.clock
	if now.IsZero() {
		now = time.Now()
	}
	t := now.Add(-sinceOverlap)
	if last := r.lastEventAt.Load(); last > 0 {
		if l := time.Unix(0, last).Add(-sinceOverlap); l.Before(t) {
			t = l
		}
	}
	return t
}

// watchdog ends the connection after two failed pings: a wedged daemon or a dead peer gives no
// end of stream.
func watchdog(ctx context.Context, eng *engine) error {
	for {
		if backoff.Sleep(ctx, pingEvery) != nil {
			return nil
		}
		var err error
		for range 2 {
			pctx, cancel := context.WithTimeout(ctx, pingTimeout)
			err = eng.ping(pctx)
			cancel()
			if err == nil || ctx.Err() != nil {
				break
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("two pings failed: %w", err)
		}
	}
}

// lister lists once the stream is open, then again on a timer or when asked to.
func (r *Registrator) lister(ctx context.Context, eng *engine, info engineInfo, ready <-chan struct{}) error {
	wait := time.NewTimer(headersTimeout)
	defer wait.Stop()
	select {
	case <-ready:
	case <-wait.C:
	case <-ctx.Done():
		return nil
	}
	list, err := r.list(ctx, eng)
	if err != nil {
		return fmt.Errorf("first list: %w", err)
	}
	r.send(ctx, connected{eng, info, list})
	for {
		// Never longer than the period, so that the promised repair time holds.
		t := time.NewTimer(r.cfg.Resync - rand.N(r.cfg.Resync/5+1))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-r.resubscribe:
			t.Stop()
			return errResubscribe
		case <-r.relist:
			t.Stop()
		case <-t.C:
		}
		list, err := r.list(ctx, eng)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			r.stats.listErrors.Add(1)
			if wrongVersion(err) {
				return err
			}
			r.log.Warn("docker list failed, keeping what is known", "err", err)
		default:
			r.send(ctx, relisted{list})
		}
	}
}

func (r *Registrator) list(ctx context.Context, eng *engine) ([]listed, error) {
	lctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	return eng.list(lctx)
}

// relistSoon asks for a list now; it never blocks.
func (r *Registrator) relistSoon() {
	select {
	case r.relist <- struct{}{}:
	default:
	}
}

// reconnectSoon ends the connection, for the next one to be better; it never blocks.
func (r *Registrator) reconnectSoon() {
	select {
	case r.resubscribe <- struct{}{}:
	default:
	}
}

// wrongVersion: another version of the engine answers than the one that was negotiated with.
func wrongVersion(err error) bool {
	return strings.Contains(err.Error(), "is too new") || strings.Contains(err.Error(), "is too old")
}

// send hands m to the loop unless ctx ends first.
func (r *Registrator) send(ctx context.Context, m any) {
	select {
	case r.inbox <- m:
	case <-ctx.Done():
	}
}
