package httpapi

import (
	"context"
	"net/http"
	"time"

	"berth"
)

// restoreBudget bounds a restore, whose body may take a while to arrive.
const restoreBudget = 30 * time.Minute

// snapshotSave answers GET /v1/snapshot with the archive, piece by piece.
func snapshotSave(c *call) (any, error) {
	_, meta, err := c.s.cfg.Store.Usage(c.ctx, berth.QueryOptions{Consistency: c.opts.Consistency, Token: c.opts.Token})
	if err != nil {
		return nil, err
	}
	c.setMeta(meta)
	w := &streamWriter{c: c, contentType: "application/x-gzip"}
	if c.r.Method == http.MethodHead {
		w.start()
		return answered, nil
	}
	if err := c.s.cfg.Store.SnapshotSave(c.ctx, w); err != nil {
		if !w.started {
			return nil, err
		}
		c.s.log.Error("snapshot broke off", "err", err)
		panic(http.ErrAbortHandler) // the only way to tell the client that what it has is not whole
	}
	w.start()
	return answered, nil
}

// snapshotRestore answers PUT /v1/snapshot.
func snapshotRestore(c *call) (any, error) {
	if c.has("stale") {
		return nil, berth.Rejected("stale not allowed for restore")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), restoreBudget)
	defer cancel()
	return nil, c.s.cfg.Store.SnapshotRestore(ctx, c.r.Body)
}
