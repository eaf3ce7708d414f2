package registrator

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"syscall"
	"time"

	"berth"
	"berth/internal/backoff"
)

const (
	healthOutputBytes = 4096
	dockerCheckPrefix = "docker:"
	dockerCheckName   = "Docker"
	probeAfter        = 10 * time.Second // the engine has been away this long
	probeEvery        = 10 * time.Second
	probeTimeout      = 2 * time.Second
)

// healthSeen is the health as last told, so that its text changes only with the status.
type healthSeen struct {
	status, output string
	exit           string // why a kept entry is critical
}

// rebuild computes rec's instances from its inspect. A panic skips the container until it
// changes.
func (r *Registrator) rebuild(rec *record, now time.Time) {
	defer func() {
		if p := recover(); p != nil {
			r.stats.panics.Add(1)
			rec.built = built{reason: "error", detail: "reading its settings failed"}
			if rec.panicked != rec.up.state.startedText {
				rec.panicked = rec.up.state.startedText
				r.log.Error("reading a container's settings failed, it is skipped until it changes",
					"container", short(rec.id), "name", rec.name, "panic", p)
			}
		}
	}()
	b := builder{r: r, c: rec.up, net: rec.up, now: now}
	if rec.owner != nil {
		b.net = rec.owner
	}
	if rec.trouble == "" {
		rec.sound = b.net
	} else if rec.sound != nil {
		b.net = rec.sound // critical below: the owner's ports are gone with it
	}
	rec.built = b.build()
	r.sayDropped(rec)
	st := &rec.up.state
	if st.health != rec.health.status {
		rec.health.status, rec.health.output = st.health, cut(st.healthOutput, healthOutputBytes)
	}
	rec.health.exit = ""
}

// sayDropped logs in one line per container what of its settings is not taken; Explain has all.
func (r *Registrator) sayDropped(rec *record) {
	switch d := rec.built.dropped; len(d) {
	case 0:
	case 1:
		r.sayOnce(rec, d[0], slog.LevelInfo, "a setting of the container is not taken", "why", d[0])
	default:
		r.sayOnce(rec, "dropped", slog.LevelInfo, "settings of the container are not taken, berth explain shows all", "count", len(d), "first", d[0])
	}
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// lifecycleTrouble is the status that the container's own state forces on all its instances;
// "" leaves it to health and checks.
func (r *Registrator) lifecycleTrouble(rec *record) (status, output string) {
	switch {
	case rec.phase == phaseKept && rec.health.exit != "":
		return berth.StatusCritical, rec.health.exit
	case rec.phase == phaseKept:
		return berth.StatusCritical, "draining"
	case !rec.drain.since.IsZero():
		return berth.StatusCritical, "draining"
	case rec.died.valid:
		return berth.StatusCritical, "exited"
	case rec.phase == phaseRestarting:
		return berth.StatusCritical, "restarting"
	case rec.paused:
		return berth.StatusCritical, "paused"
	case rec.trouble != "":
		return berth.StatusCritical, rec.trouble
	case rec.refused:
		return berth.StatusCritical, "docker does not answer and the port refuses connections"
	}
	return "", ""
}

// withHealth is the instance's definition with its passive docker check: always when the
// image has a HEALTHCHECK, else only while the container's state makes it critical.
func (r *Registrator) withHealth(rec *record, in *instance) berth.ServiceDefinition {
	def := in.def
	status, output := r.lifecycleTrouble(rec)
	if status == "" && in.useHealth && rec.health.status != "" {
		status, output = r.healthStatus(rec.health.status)
		if rec.health.output != "" && rec.health.status != "starting" {
			output += ": " + rec.health.output
		}
	}
	if in.beat != nil {
		c := *in.beat
		c.Status, c.Output = berth.StatusPassing, "container is running"
		if status == berth.StatusCritical {
			c.Status, c.Output = status, output
		}
		def.Checks = append(append([]*berth.CheckDefinition(nil), def.Checks...), &c)
	}
	if status != "" {
		def.Checks = append(append([]*berth.CheckDefinition(nil), def.Checks...), dockerCheck(def.ID, status, output))
	}
	return def
}

func (r *Registrator) healthStatus(health string) (status, output string) {
	switch health {
	case "healthy":
		return berth.StatusPassing, health
	case "starting":
		return r.cfg.HealthStarting, health
	}
	return berth.StatusCritical, health
}

func dockerCheck(serviceID, status, output string) *berth.CheckDefinition {
	return &berth.CheckDefinition{ID: dockerCheckPrefix + serviceID, Name: dockerCheckName, ServiceID: serviceID,
		Status: status, Output: output, Passive: true, Type: berth.CheckDocker}
}

// critical is defs with the docker check saying critical.
func (r *Registrator) critical(defs []berth.ServiceDefinition, output string) []berth.ServiceDefinition {
	out := make([]berth.ServiceDefinition, len(defs))
	for i, d := range defs {
		checks := make([]*berth.CheckDefinition, 0, len(d.Checks)+1)
		for _, c := range d.Checks {
			if c.ID != dockerCheckPrefix+d.ID {
				checks = append(checks, c)
			}
		}
		d.Checks = append(checks, dockerCheck(d.ID, berth.StatusCritical, output))
		out[i] = d
	}
	return out
}

// probeLoop looks after instances without a check while the engine does not answer: those
// whose port refuses connections become critical. Everything else stays as it was.
func (r *Registrator) probeLoop(ctx context.Context) error {
	for backoff.Sleep(ctx, probeEvery) == nil {
		for id, addr := range r.unverified(time.Now()) {
			refused := r.refuses(ctx, addr)
			r.with(func() {
				rec := r.state.records[id]
				if rec != nil && r.state.eng == nil && rec.refused != refused {
					rec.refused = refused
					r.settle(rec, time.Now())
				}
			})
			r.dirty.wake()
		}
	}
	return nil
}

// unverified are the addresses of TCP instances that nobody checks, when the engine has been
// away for a while.
func (r *Registrator) unverified(now time.Time) map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.state
	out := map[string]string{}
	if s.eng != nil || s.lostWhy == nil || now.Sub(s.lostAt) < probeAfter {
		return out
	}
	for id, rec := range s.records {
		for i := range rec.built.instances {
			in := &rec.built.instances[i]
			if rec.phase == phaseUp && in.port.proto == "tcp" && len(in.def.Checks) == 0 && in.def.Port > 0 {
				out[id] = net.JoinHostPort(in.def.Address, strconv.Itoa(in.def.Port))
			}
		}
	}
	return out
}

// refuses reports whether a connection is refused outright; silence proves nothing.
func (r *Registrator) refuses(ctx context.Context, addr string) bool {
	dctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := r.cfg.Probe(dctx, "tcp", addr)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	conn.Close()
	return false
}
