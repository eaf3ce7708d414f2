package httpapi

// statusLeader answers GET /v1/status/leader.
func statusLeader(c *call) (any, error) { return c.s.cfg.Store.Leader(), nil }

// statusPeers answers GET /v1/status/peers.
func statusPeers(c *call) (any, error) { return list(c.s.cfg.Store.Peers()), nil }
