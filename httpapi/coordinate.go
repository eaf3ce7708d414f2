package httpapi

import (
	"context"
	"math"
	"net/http"

	"berth"
)

func (c *call) coordinatesOff() error {
	if c.s.cfg.DisableCoordinates {
		return httpError(http.StatusUnauthorized, "Coordinate support disabled")
	}
	return nil
}

// coordinateDatacenters answers GET /v1/coordinate/datacenters.
func coordinateDatacenters(c *call) (any, error) {
	if err := c.coordinatesOff(); err != nil {
		return nil, err
	}
	return list(c.s.cfg.Store.DatacenterCoordinates()), nil
}

// coordinateNodes answers GET /v1/coordinate/nodes.
func coordinateNodes(c *call) (any, error) { return c.coordinates("") }

// coordinateNode answers GET /v1/coordinate/node/<node>.
func coordinateNode(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing node name")
	}
	return c.coordinates(c.tail)
}

func (c *call) coordinates(node string) (any, error) {
	if err := c.coordinatesOff(); err != nil {
		return nil, err
	}
	filter, err := newFilter[berth.NodeCoordinate](c)
	if err != nil {
		return nil, err
	}
	coords, err := read(c, func(ctx context.Context, q berth.QueryOptions) ([]berth.NodeCoordinate, berth.QueryMeta, error) {
		return c.s.cfg.Store.Coordinates(ctx, node, q)
	})
	if err != nil {
		return nil, err
	}
	out := make([]*berth.NodeCoordinate, 0, len(coords))
	for i := range coords {
		if !c.has("segment") || coords[i].Segment == c.form.Get("segment") {
			out = append(out, &coords[i])
		}
	}
	if node != "" && len(out) == 0 {
		return &reply{status: http.StatusNotFound}, nil
	}
	return filter.apply(out)
}

// coordinateUpdate answers PUT /v1/coordinate/update.
func coordinateUpdate(c *call) (any, error) {
	if err := c.coordinatesOff(); err != nil {
		return nil, err
	}
	var body struct {
		berth.NodeCoordinate
		Datacenter string
	}
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	if body.Node == "" {
		return nil, berth.Invalid("Must provide node")
	}
	if !finite(body.Coord) {
		return nil, berth.Invalid("Invalid coordinate: it needs 8 dimensions, all of them finite")
	}
	if err := c.authorize("node", Write, body.Node); err != nil {
		return nil, err
	}
	return nil, c.s.cfg.Store.CoordinateUpdate(c.ctx, body.NodeCoordinate)
}

// coordinateDimensions is the size of serf's coordinate space.
const coordinateDimensions = 8

func finite(k *berth.Coordinate) bool {
	if k == nil || len(k.Vec) != coordinateDimensions {
		return false
	}
	sum := k.Error + k.Adjustment + k.Height
	for _, v := range k.Vec {
		sum += math.Abs(v)
	}
	return !math.IsNaN(sum) && !math.IsInf(sum, 0)
}
