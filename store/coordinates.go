package store

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"time"

	"berth"
	"berth/internal/backoff"
	"berth/store/command"
)

const (
	coordinateEvery = 5 * time.Second // servers write what they collected
	coordinateBatch = 640             // at most, each time
	coordinateRate  = 64              // updates per second that all agents together may send
	coordinateMin   = 15 * time.Second
)

func decodeJSON(b []byte, v any) error { return json.Unmarshal(b, v) }

// Coordinate is this agent's position in the LAN; nil when coordinates are off.
func (s *Store) Coordinate() *berth.Coordinate { return s.lan.Coordinate() }

// sendCoordinates hands this agent's position to a server from time to time, less often the
// more agents there are.
func (s *Store) sendCoordinates(ctx context.Context) error {
	if s.cfg.NoCoordinates {
		return nil
	}
	for {
		every := max(coordinateMin, time.Duration(len(s.lan.Members()))*time.Second/coordinateRate)
		if backoff.Sleep(ctx, every+rand.N(every)) != nil {
			return nil
		}
		c := s.lan.Coordinate()
		if c == nil {
			continue
		}
		if err := s.CoordinateUpdate(ctx, berth.NodeCoordinate{Node: s.cfg.NodeName, Coord: c}); err != nil && ctx.Err() == nil {
			s.log.Debug("send network coordinate", "err", err)
		}
	}
}

// writeCoordinates puts the positions that this server collected into the catalog.
func (s *Store) writeCoordinates(ctx context.Context) error {
	tick := time.NewTicker(coordinateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		at := map[string]int{}
		var updates []berth.NodeCoordinate
		for _, c := range s.coords.drain() {
			key := c.Node + "\x00" + c.Segment
			if i, ok := at[key]; ok {
				updates[i] = c
				continue
			}
			at[key] = len(updates)
			updates = append(updates, c)
		}
		if len(updates) == 0 {
			continue
		}
		if _, err := s.propose(ctx, &command.Coordinates{Updates: updates}); err != nil && ctx.Err() == nil {
			s.log.Debug("write network coordinates", "err", err)
		}
	}
}

func (s *Store) sendCoordinate(ctx context.Context, addr string, c berth.NodeCoordinate) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = s.call(ctx, http.MethodPost, addr, "/internal/store/coordinate", b)
	return err
}

func (s *Store) serveCoordinate(w http.ResponseWriter, r *http.Request) {
	var c berth.NodeCoordinate
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&c); err != nil || c.Coord == nil {
		http.Error(w, "coordinate cannot be read", http.StatusBadRequest)
		return
	}
	s.coords.put(c)
}
