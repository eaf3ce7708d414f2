package state

import (
	"slices"

	"berth"
)

// Coordinates sets the positions of nodes; those of unknown nodes, and unchanged ones, are
// dropped.
func (t *Tx) Coordinates(idx uint64, updates []berth.NodeCoordinate) {
	for _, u := range updates {
		t.began()
		n := t.node(u.Node)
		if n == nil || u.Coord == nil || checkNames("segment", u.Segment) != nil {
			continue
		}
		old := lookup[berth.NodeCoordinate](t, tableCoordinates, instanceKey(u.Node, u.Segment))
		if old != nil && sameCoordinate(old.Coord, u.Coord) {
			continue
		}
		t.putCoordinate(idx, &berth.NodeCoordinate{Node: n.Name, Segment: u.Segment, Coord: u.Coord})
	}
}

func (t *Tx) putCoordinate(idx uint64, row *berth.NodeCoordinate) {
	t.insert(tableCoordinates, instanceKey(row.Node, row.Segment), row)
	t.raise(&t.g.Coordinates, idx)
}

func sameCoordinate(a, b *berth.Coordinate) bool {
	return a.Error == b.Error && a.Adjustment == b.Adjustment && a.Height == b.Height && slices.Equal(a.Vec, b.Vec)
}
