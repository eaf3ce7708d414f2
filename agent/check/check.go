// Package check runs health checks: one run of a check is a Runner's, when runs happen is the
// Scheduler's, what their results mean over time is Hysteresis'. It knows nothing of services
// or of the catalog.
package check

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"berth"
)

// Result is what one run found.
type Result struct {
	Status string // berth.StatusPassing, StatusWarning or StatusCritical
	Output string
	Final  bool          // counts at once, whatever the thresholds: a script that did not end in time
	Took   time.Duration // set by the Scheduler
}

// Runner does one run of a check. It keeps its own deadline and gives up when ctx ends.
type Runner interface {
	Run(ctx context.Context) Result
}

// Deadlines of checks that set none.
const (
	defaultTimeout       = 10 * time.Second
	defaultScriptTimeout = 30 * time.Second
)

// Config of the runners.
type Config struct {
	Logger    *slog.Logger
	OutputMax int          // bytes of output kept unless the check says otherwise; 0: 4096
	Docker    DockerClient // of exec checks; nil: DOCKER_HOST or the default socket

	// TLS has the certificate and authorities of checks with TLS; nil: none of their own.
	TLS func() *tls.Config
}

// Runners makes runners and holds what they share: HTTP transports and the connection to the
// Docker engine. It is safe for concurrent use.
type Runners struct {
	cfg Config

	mu         sync.Mutex // guards the fields below
	transports map[tlsKey]*http.Transport
	engine     *engine
}

type tlsKey struct {
	serverName string
	skipVerify bool
}

// NewRunners makes no connection.
func NewRunners(cfg Config) *Runners {
	if cfg.OutputMax <= 0 {
		cfg.OutputMax = DefaultOutputMax
	}
	if cfg.Docker == nil {
		cfg.Docker = dockerFromEnv
	}
	return &Runners{cfg: cfg, transports: map[tlsKey]*http.Transport{}}
}

// New makes the runner of a check that has an interval.
func (r *Runners) New(def *berth.CheckDefinition) (Runner, error) {
	outputMax := r.cfg.OutputMax
	if def.OutputMaxSize > 0 {
		outputMax = def.OutputMaxSize
	}
	timeout := func(def, unset time.Duration) time.Duration {
		if def > 0 {
			return def
		}
		return unset
	}
	wait := timeout(def.Timeout.D(), defaultTimeout)
	scriptWait := timeout(def.Timeout.D(), defaultScriptTimeout)
	switch kind := def.Kind(); kind {
	case berth.CheckHTTP:
		return newHTTP(def, r.transport(def), wait, outputMax)
	case berth.CheckTCP:
		return &tcpRunner{addr: def.TCP, tls: r.tcpTLS(def), timeout: wait}, nil
	case berth.CheckUDP:
		return &udpRunner{addr: def.UDP, timeout: timeout(def.Timeout.D(), silentWait)}, nil
	case berth.CheckGRPC:
		return r.newGRPC(def, wait), nil
	case berth.CheckH2PING:
		return &h2pingRunner{addr: def.H2PING, tls: r.h2pingTLS(def), timeout: wait}, nil
	case berth.CheckScript:
		return &scriptRunner{args: def.ScriptArgs, timeout: scriptWait, outputMax: outputMax}, nil
	case berth.CheckDocker:
		return &execRunner{runners: r, container: def.DockerContainerID, argv: execArgv(def), timeout: scriptWait, outputMax: outputMax}, nil
	case berth.CheckOSService:
		return nil, fmt.Errorf("check %q: OSService checks are for Windows services and not implemented on this platform", def.ID)
	default:
		return nil, fmt.Errorf("check %q: a check of type %q is not run at an interval", def.ID, kind)
	}
}

// Close ends idle connections. Runners fail afterwards or make new ones.
func (r *Runners) Close() {
	r.mu.Lock()
	transports, e := r.transports, r.engine
	r.transports, r.engine = map[tlsKey]*http.Transport{}, nil
	r.mu.Unlock()
	for _, t := range transports {
		t.CloseIdleConnections()
	}
	if e != nil {
		e.close()
	}
}

func (r *Runners) tlsConfig(def *berth.CheckDefinition) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if r.cfg.TLS != nil {
		c = r.cfg.TLS().Clone()
	}
	c.ServerName, c.InsecureSkipVerify = def.TLSServerName, def.TLSSkipVerify //nolint:gosec // the check asks for it
	return c
}

func critical(format string, args ...any) Result {
	return Result{Status: berth.StatusCritical, Output: fmt.Sprintf(format, args...)}
}

func passing(format string, args ...any) Result {
	return Result{Status: berth.StatusPassing, Output: fmt.Sprintf(format, args...)}
}
