package gossip

import (
	"time"

	"github.com/hashicorp/serf/coordinate"

	"berth"
)

// Coordinate is this agent's position; nil before Run or when coordinates are off.
func (p *Pool) Coordinate() *berth.Coordinate {
	s := p.serf.Load()
	if s == nil || p.cfg.NoCoordinates {
		return nil
	}
	c, err := s.GetCoordinate()
	if err != nil {
		return nil
	}
	return fromSerf(c)
}

// MemberCoordinate is the last position heard of a member; nil when none was.
func (p *Pool) MemberCoordinate(name string) *berth.Coordinate {
	s := p.serf.Load()
	if s == nil || p.cfg.NoCoordinates {
		return nil
	}
	c, ok := s.GetCachedCoordinate(name)
	if !ok {
		return nil
	}
	return fromSerf(c)
}

// Distance estimates the round-trip time between two positions; false when one is missing or
// they cannot be compared.
func Distance(a, b *berth.Coordinate) (time.Duration, bool) {
	if a == nil || b == nil || len(a.Vec) != len(b.Vec) {
		return 0, false
	}
	return toSerf(a).DistanceTo(toSerf(b)), true
}

func fromSerf(c *coordinate.Coordinate) *berth.Coordinate {
	return &berth.Coordinate{Vec: c.Vec, Error: c.Error, Adjustment: c.Adjustment, Height: c.Height}
}

func toSerf(c *berth.Coordinate) *coordinate.Coordinate {
	return &coordinate.Coordinate{Vec: c.Vec, Error: c.Error, Adjustment: c.Adjustment, Height: c.Height}
}
