package store

import (
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"berth"
	"berth/store/gossip"
)

// remoteServers lists the servers of a datacenter that the WAN pool has up; known tells
// whether it has any at all.
func (s *Store) remoteServers(dc string) (up []string, known bool) {
	if s.wan == nil {
		return nil, false
	}
	for _, m := range s.wan.Members() {
		srv, ok := parseServer(m)
		if !ok || srv.datacenter != dc || m.Status == berth.MemberLeft {
			continue
		}
		known = true
		if m.Status == berth.MemberAlive {
			up = append(up, srv.addr)
		}
	}
	return up, known
}

// forwardDatacenter passes a request to another datacenter: from a server straight to one of
// its servers, from a client through a server of this one.
func (s *Store) forwardDatacenter(w http.ResponseWriter, r *http.Request, dc, via string) bool {
	if !s.mayForward(w) {
		return true
	}
	body, err := newReplay(r)
	if err == nil {
		if s.node == nil && via == "" {
			err = s.route(r.Context(), false, func(_ context.Context, addr string) error {
				return s.proxy(w, r, addr, viaLAN, body)
			})
		} else {
			err = s.tryDatacenter(dc, func(addr string) error { return s.proxy(w, r, addr, viaWAN, body) })
		}
	}
	if err != nil {
		answerError(w, err)
	}
	return true
}

// tryDatacenter tries the datacenter's living servers in random order.
func (s *Store) tryDatacenter(dc string, try func(addr string) error) error {
	up, known := s.remoteServers(dc)
	if !known {
		return berth.ErrNoPath
	}
	rand.Shuffle(len(up), func(i, j int) { up[i], up[j] = up[j], up[i] })
	for _, addr := range up {
		if err := try(addr); err != errRetry { //nolint:errorlint // never wrapped
			return err
		}
	}
	return berth.ErrRemoteUnreachable
}

// Datacenters lists the known datacenters: this one first, then by distance, then by name. A
// client asks a server for it.
func (s *Store) Datacenters() []string {
	if s.node == nil {
		return s.askDatacenters()
	}
	byDC := map[string][]float64{}
	for _, m := range s.Members(true) {
		srv, ok := parseServer(m)
		if !ok || m.Status == berth.MemberLeft {
			continue
		}
		byDC[srv.datacenter] = append(byDC[srv.datacenter], s.wanDistance(m.Name))
	}
	delete(byDC, s.cfg.Datacenter)
	names := make([]string, 0, len(byDC))
	for dc, ds := range byDC {
		slices.Sort(ds)
		names = append(names, dc)
	}
	slices.SortFunc(names, func(a, b string) int {
		da, db := byDC[a][len(byDC[a])/2], byDC[b][len(byDC[b])/2]
		if da != db && !(math.IsInf(da, 1) && math.IsInf(db, 1)) {
			if da < db {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	return append([]string{s.cfg.Datacenter}, names...)
}

// wanDistance is the estimated round-trip time to a WAN member in seconds; infinite when there
// is no estimate.
func (s *Store) wanDistance(member string) float64 {
	d, ok := gossip.Distance(s.wan.Coordinate(), s.wan.MemberCoordinate(member))
	if !ok {
		return math.Inf(1)
	}
	return d.Seconds()
}

// DatacenterCoordinates gives the positions of all datacenters' servers in the WAN.
func (s *Store) DatacenterCoordinates() []berth.DatacenterCoordinates {
	if s.wan == nil {
		return nil
	}
	byDC := map[string][]berth.NodeCoordinate{}
	for _, m := range s.wan.Members() {
		srv, ok := parseServer(m)
		if !ok || m.Status == berth.MemberLeft {
			continue
		}
		if c := s.wan.MemberCoordinate(m.Name); c != nil {
			byDC[srv.datacenter] = append(byDC[srv.datacenter], berth.NodeCoordinate{Node: srv.name, Coord: c})
		}
	}
	var out []berth.DatacenterCoordinates
	for dc, cs := range byDC {
		out = append(out, berth.DatacenterCoordinates{Datacenter: dc, AreaID: "wan", Coordinates: cs})
	}
	slices.SortFunc(out, func(a, b berth.DatacenterCoordinates) int { return strings.Compare(a.Datacenter, b.Datacenter) })
	return out
}

// floodWAN joins the WAN ports of this datacenter's other servers, so that one server's
// federation is all servers' federation. It runs at each change of members and on a timer.
func (s *Store) floodWAN(ctx context.Context) error {
	if s.wan == nil {
		return nil
	}
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		changed := s.membersChanged.wait()
		s.joinMissingWAN(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
	}
}

func (s *Store) joinMissingWAN(ctx context.Context) {
	have := map[string]bool{}
	for _, m := range s.wan.Members() {
		if m.Status == berth.MemberAlive {
			have[m.Name] = true
		}
	}
	for _, m := range s.lan.Members() {
		srv, ok := parseServer(m)
		if !ok || srv.status != berth.MemberAlive || srv.wanPort == "" || have[srv.name+"."+srv.datacenter] {
			continue
		}
		if _, err := s.wan.Join(ctx, []string{joinHostPort(m.Addr, srv.wanPort)}); err != nil {
			s.log.Debug("join a server of this datacenter over WAN", "server", srv.name, "err", err)
		}
	}
}

// askDatacenters asks a server for the datacenters; a client that reaches none knows its own.
func (s *Store) askDatacenters() []string {
	out := []string{s.cfg.Datacenter}
	addr := s.anyServer("")
	if addr == "" {
		return out
	}
	var all []string
	if err := s.callJSON(context.Background(), http.MethodGet, addr, "/internal/store/datacenters", nil, &all, 2*time.Second); err != nil || len(all) == 0 { //nolint:forbidigo // the method has no context
		return out
	}
	return all
}

func (s *Store) serveDatacenters(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, s.Datacenters())
}
