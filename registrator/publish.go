package registrator

import (
	"log/slog"
	"reflect"
	"slices"
	"sort"
	"strings"
	"time"

	"berth"
)

// gather is the desired set of all containers, and whether it has to be handed over now.
func (r *Registrator) gather(now time.Time) ([]berth.ServiceDefinition, bool) {
	s := &r.state
	if !s.changed || !(s.loaded || s.synced) || now.Before(s.publishAt) {
		return nil, false
	}
	s.changed = false
	return r.desired(), true
}

// claim is a container's wish for a service ID.
type claim struct {
	rec *record
	def *berth.ServiceDefinition
}

// beats decides who has the ID: the container that it is made of, so that no label takes another
// container's place; else the one that is up, then the one that started last.
func (c claim) beats(o claim, node string) bool {
	if a, b := c.natural(node), o.natural(node); a != b {
		return a
	}
	return c.rec.beats(o.rec)
}

func (c claim) natural(node string) bool {
	return strings.HasPrefix(c.def.ID, node+":"+c.rec.name+":")
}

// desired is the union of all records' definitions, sorted by ID; of two with one ID the one that
// does not get it is reported.
func (r *Registrator) desired() []berth.ServiceDefinition {
	s := &r.state
	byID := map[string]claim{}
	for _, rec := range s.records {
		rec.lost = nil
	}
	for _, rec := range s.records {
		for i := range rec.defs {
			d := &rec.defs[i]
			cur, taken := byID[d.ID]
			if !taken {
				byID[d.ID] = claim{rec, d}
				continue
			}
			win, lose := claim{rec, d}, cur
			if !win.beats(lose, r.cfg.Node) {
				win, lose = lose, win
			}
			byID[d.ID] = win
			lose.rec.lose(d.ID, win.rec)
			r.sayOnce(lose.rec, "duplicate "+d.ID, slog.LevelWarn, "two containers claim one service ID, only one has it",
				"id", d.ID, "winner", win.rec.name)
		}
	}
	claims := make([]claim, 0, len(byID))
	for _, c := range byID {
		claims = append(claims, c)
	}
	sort.Slice(claims, func(i, j int) bool { return claims[i].def.ID < claims[j].def.ID })
	return uniqueChecks(claims)
}

// uniqueChecks are the definitions of claims, with no check ID twice: service "a:2" and the second
// check of service "a" would meet, and one take the other's place.
func uniqueChecks(claims []claim) []berth.ServiceDefinition {
	out := make([]berth.ServiceDefinition, 0, len(claims))
	taken := map[string]bool{}
	for _, c := range claims {
		def := *c.def
		for i, ch := range def.Checks {
			if !taken[ch.ID] {
				taken[ch.ID] = true
				continue
			}
			renamed := *ch
			renamed.ID += "@" + short(c.rec.id)
			def.Checks = slices.Clone(def.Checks)
			def.Checks[i] = &renamed
		}
		out = append(out, def)
	}
	return out
}

// publish hands the set over. After a slow hand-over the next one waits in proportion, so that
// a storm of changes is told in few sets.
func (r *Registrator) publish(set []berth.ServiceDefinition) {
	began := time.Now()
	err := r.sink.Replace(berth.SourceDocker, set)
	cost := time.Since(began)
	r.stats.replaces.Add(1)
	r.stats.instances.Store(int64(len(set)))
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.state
	s.publishAt = time.Now().Add(min(2*cost, publishMaxGap))
	if err != nil {
		s.publishErr++
		s.changed = true
		s.publishAt = time.Now().Add(retryPause(s.publishErr))
		r.stats.replaceErrors.Add(1)
		r.log.Error("handing over the desired services failed, trying again", "err", err)
		return
	}
	s.publishErr = 0
	r.saveOwned()
}

// sameDefs compares two containers' worth of definitions.
func sameDefs(a, b []berth.ServiceDefinition) bool {
	return len(a) == len(b) && (len(a) == 0 || reflect.DeepEqual(a, b))
}

// sayOnce logs once per container and cause.
func (r *Registrator) sayOnce(rec *record, cause string, level slog.Level, msg string, args ...any) {
	key := rec.id + "\x00" + cause
	if r.state.warned[key] {
		return
	}
	r.state.warned[key] = true
	say := r.log.Info
	if level >= slog.LevelWarn {
		say = r.log.Warn
	}
	say(msg, append([]any{"container", short(rec.id), "name", rec.name}, args...)...)
}
