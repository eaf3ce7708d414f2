package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"berth"
	"berth/internal/backoff"
	"berth/store/gossip"
)

// An agent that came back under another address is known to the others under the old one until
// that has failed; so for a while after its start it joins again and again.
const (
	announceFor   = time.Minute
	announceEvery = 3 * time.Second
)

// errAbroad is joining's answer when only other datacenters answered, with which this one is
// federated now.
var errAbroad = errors.New("only servers of other datacenters answered")

func joinHostPort(host, port string) string { return net.JoinHostPort(strings.Trim(host, "[]"), port) }

// Join contacts the addresses and merges with their pools; it returns how many answered.
func (s *Store) Join(addrs []string, wan bool) (int, error) {
	pool := s.lan
	if wan {
		if pool = s.wan; pool == nil {
			return 0, berth.Invalid("this agent is not a server: it cannot join the WAN pool")
		}
	}
	n, err := pool.Join(context.Background(), addrs) //nolint:forbidigo // the method has no context
	if errors.Is(err, gossip.ErrOnlySelf) {
		return 1, nil // as it was asked for
	}
	return n, err
}

// joinLoop keeps this agent in its LAN pool: it looks the configured addresses up again and
// joins them whenever it has no living server to talk to (a server: no other member), for ever,
// or until max tries have failed, which ends the agent.
func (s *Store) joinLoop(ctx context.Context) error {
	return s.keepJoined(ctx, &joining{
		pool: "LAN", addrs: s.cfg.Join.LAN, limit: s.cfg.Join.Max, interval: s.cfg.Join.Interval,
		changed: &s.membersChanged, connected: s.lanConnected, join: s.joinLAN,
	})
}

func (s *Store) joinWANLoop(ctx context.Context) error {
	if s.wan == nil {
		return nil
	}
	return s.keepJoined(ctx, &joining{
		pool: "WAN", addrs: s.cfg.Join.WAN, limit: s.cfg.Join.MaxWAN, interval: s.cfg.Join.IntervalWAN,
		changed: &s.wanChanged, connected: s.wanConnected,
		join: func(ctx context.Context, addrs []string) (int, error) { return s.wan.Join(ctx, addrs) },
	})
}

// joining says whom to join, how, and how often it is tried.
type joining struct {
	pool      string
	addrs     []string
	limit     int // failed tries, an interval apart, before the agent ends; 0: none
	interval  time.Duration
	changed   *broadcast
	connected func() bool
	join      func(context.Context, []string) (int, error)
}

func (s *Store) keepJoined(ctx context.Context, j *joining) error {
	if len(j.addrs) == 0 {
		return nil
	}
	pause := backoff.Backoff{Min: min(200*time.Millisecond, j.interval), Max: j.interval}
	began := time.Now()
	var failing time.Time // when the first of the last tries in a row failed
	for {
		wake := j.changed.wait()
		if up := j.connected(); up || s.leaving.Load() {
			failing = time.Time{}
			pause.Reset()
			every := 10 * time.Second
			if up && time.Since(began) < announceFor && !s.leaving.Load() {
				every, wake = announceEvery, nil
				_, _ = j.join(ctx, j.addrs) // for the others: they may have this agent under an old address
			}
			if err := waitOr(ctx, wake, every); err != nil {
				return nil //nolint:nilerr // the context ended
			}
			continue
		}
		n, err := j.join(ctx, j.addrs)
		if err == nil && n > 0 {
			s.log.Info("joined", "pool", j.pool, "contacted", n)
			failing = time.Time{}
		} else if errors.Is(err, gossip.ErrOnlySelf) || errors.Is(err, errAbroad) {
			failing = time.Time{} // names may stand for others later
		} else if j.spent(&failing) {
			return fmt.Errorf("join %s: none of %v answered in %d tries %v apart: %s", j.pool, j.addrs, j.limit, j.interval, flat(err))
		} else if !errors.Is(err, gossip.ErrNotRunning) {
			s.log.Warn("join failed, will try again", "pool", j.pool, "addrs", j.addrs, "err", flat(err))
		}
		if err := waitOr(ctx, nil, pause.Next()); err != nil {
			return nil //nolint:nilerr // the context ended
		}
	}
}

// spent tells whether a try that failed just now was the last one. The quick tries at the start
// come on top: whoever sets a limit counts on limit times the interval.
func (j *joining) spent(failing *time.Time) bool {
	if failing.IsZero() {
		*failing = time.Now()
	}
	return j.limit > 0 && time.Since(*failing) >= time.Duration(j.limit-1)*j.interval
}

// flat puts a multi-line library error on one line.
func flat(err error) string {
	if err == nil {
		return ""
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// waitOr waits for wake, d, or the end of ctx, whose error it returns.
func waitOr(ctx context.Context, wake <-chan struct{}, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wake:
	case <-t.C:
	}
	return nil
}

// lanConnected tells whether a living server other than this agent is known.
func (s *Store) lanConnected() bool {
	for _, srv := range s.servers() {
		if srv.status == berth.MemberAlive && srv.id != s.id {
			return true
		}
	}
	return false
}

func (s *Store) wanConnected() bool {
	for _, m := range s.wan.Members() {
		if m.Status == berth.MemberAlive && m.Tags["dc"] != s.cfg.Datacenter {
			return true
		}
	}
	return false
}

// joinLAN joins one address after the other. An address that turns out to be a server of
// another datacenter is joined over WAN instead, which is errAbroad: that is what the user meant.
func (s *Store) joinLAN(ctx context.Context, addrs []string) (int, error) {
	n, err := s.lan.Join(ctx, addrs)
	if n > 0 || err == nil || s.wan == nil || errors.Is(err, gossip.ErrOnlySelf) {
		return n, err
	}
	for _, a := range addrs {
		who, werr := s.askWho(ctx, a)
		if werr != nil || who.Datacenter == s.cfg.Datacenter || who.WANPort == 0 {
			continue
		}
		if s.federated(who.Datacenter) {
			err = errAbroad
			continue
		}
		host, _, herr := net.SplitHostPort(a)
		if herr != nil {
			host = a
		}
		if m, jerr := s.wan.Join(ctx, []string{joinHostPort(host, fmt.Sprint(who.WANPort))}); jerr == nil && m > 0 {
			s.log.Info("retry_join names a server of another datacenter: federated with it over WAN", "addr", a, "datacenter", who.Datacenter)
			err = errAbroad
		}
	}
	return 0, err
}

// federated tells whether a living server of the datacenter is in the WAN pool.
func (s *Store) federated(dc string) bool {
	return slices.ContainsFunc(s.wan.Members(), func(m berth.Member) bool {
		return m.Status == berth.MemberAlive && m.Tags["dc"] == dc
	})
}

// identity is what an agent's server port says about it.
type identity struct {
	Node       string
	ID         string
	Datacenter string
	WANPort    int
	LANPort    int
}

// askWho asks the agent behind a LAN join address who it is. The server port is guessed: the
// default, or this agent's own.
func (s *Store) askWho(ctx context.Context, addr string) (identity, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, strings.Trim(host, "[]"))
	if err != nil {
		return identity{}, err
	}
	ports := []string{fmt.Sprint(s.port)}
	if s.port != DefaultServerPort {
		ports = append(ports, fmt.Sprint(DefaultServerPort))
	}
	for _, ip := range ips {
		for _, port := range ports {
			var who identity
			if err = s.callJSON(ctx, http.MethodGet, joinHostPort(ip, port), "/internal/store/who", nil, &who, 3*time.Second); err == nil {
				return who, nil
			}
		}
	}
	return identity{}, err
}
