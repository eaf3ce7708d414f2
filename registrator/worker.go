package registrator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	inspectWorkers = 8
	ownerDepth     = 8 // longest chain of container:X
	retryMin       = 200 * time.Millisecond
	retryMax       = time.Minute
)

// result is what an inspect brought.
type result struct {
	id    string
	seq   uint64 // of the dispatch, against record.actSeq
	eng   *engine
	c     *inspected
	owner *inspected // whose network it uses, when not its own
	chain []string   // IDs of the owners on the way, the last one is owner
	// trouble says why the owner's network cannot be used.
	trouble string
	err     error
	took    time.Duration
}

// enqueue asks for an inspect of id: one at a time per container, eight in all.
func (s *state) enqueue(id string) {
	switch {
	case s.queued[id]:
	case s.inflight[id] != 0:
		s.again[id] = true
	default:
		s.queued[id] = true
		s.queue = append(s.queue, id)
	}
}

// dispatch starts inspects while there is room. Each runs in a goroutine that ends within the
// inspect timeout per owner and whose result always finds a free slot; the loop waits for them.
func (r *Registrator) dispatch(ctx context.Context) {
	s := &r.state
	for s.eng != nil && len(s.queue) > 0 && len(s.inflight) < inspectWorkers {
		id := s.queue[0]
		s.queue = s.queue[1:]
		delete(s.queued, id)
		s.seq++
		s.inflight[id] = s.seq
		eng, seq := s.eng, s.seq
		go func() {
			began := time.Now()
			res := r.examine(ctx, eng, id)
			res.id, res.seq, res.eng, res.took = id, seq, eng, time.Since(began)
			r.results <- res
		}()
	}
	if len(s.queue) == 0 {
		s.queue = nil
	}
}

// examine inspects id and whoever owns its network, and runs the -tags template, which may fetch
// URLs. A panic costs this container only.
func (r *Registrator) examine(ctx context.Context, eng *engine, id string) (res result) {
	defer func() {
		if p := recover(); p != nil {
			res = result{err: fmt.Errorf("reading the container failed: %v", p)}
		}
	}()
	c, err := inspectWithin(ctx, eng, id)
	if err != nil {
		return result{err: err}
	}
	res.c = c
	c.tagsText, c.tagsErr = r.tags.run(c.detail)
	if !r.cfg.AllowTagTemplates {
		c.detail = nil
	}
	cur := c
	met := map[string]bool{c.id: true}
	for range ownerDepth {
		ref, shared := strings.CutPrefix(cur.networkMode, "container:")
		if !shared {
			return res
		}
		next, err := inspectWithin(ctx, eng, ref)
		switch {
		case errors.Is(err, errGone):
			res.trouble = "network owner " + short(ref) + " is gone"
			return res
		case err != nil:
			return result{err: fmt.Errorf("network owner %s: %w", short(ref), err)}
		case met[next.id]:
			res.trouble = "network owners form a circle"
			return res
		}
		met[next.id] = true
		res.owner, res.chain = next, append(res.chain, next.id)
		if res.trouble == "" {
			res.trouble = ownerTrouble(cur, next)
		}
		cur = next
	}
	res.trouble = fmt.Sprintf("network owners are nested deeper than %d", ownerDepth)
	return res
}

// ownerTrouble: a network namespace ends with its owner; those who had joined stay in the dead
// one until they start again.
func ownerTrouble(c, owner *inspected) string {
	switch {
	case !owner.state.up():
		return "network owner " + owner.name + " is not running"
	case c.state.up() && owner.state.started.After(c.state.started):
		return "network owner " + owner.name + " has restarted, this container has not"
	}
	return ""
}

func inspectWithin(ctx context.Context, eng *engine, ref string) (*inspected, error) {
	ictx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	return eng.inspect(ictx, ref)
}

// retryPause grows from 0.2 s to a minute.
func retryPause(failures int) time.Duration {
	d := retryMin << min(max(failures-1, 0), 12)
	return min(d, retryMax)
}
