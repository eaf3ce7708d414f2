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

// streamWriter writes a body of unknown length. Its header goes out with the first byte, and
// every write has its own deadline, so that a client may read for as long as it does read.
type streamWriter struct {
	c           *call
	contentType string
	started     bool
}

func (w *streamWriter) start() {
	if w.started {
		return
	}
	w.started = true
	w.c.writeDeadline(writeTimeout)
	w.c.w.Header().Set("Content-Type", w.contentType)
	w.c.w.WriteHeader(http.StatusOK)
}

// Write sends p.
func (w *streamWriter) Write(p []byte) (int, error) {
	w.start()
	w.c.writeDeadline(writeTimeout)
	return w.c.w.Write(p)
}

// Flush sends what is buffered.
func (w *streamWriter) Flush() error {
	w.start()
	w.c.writeDeadline(writeTimeout)
	return http.NewResponseController(w.c.w).Flush()
}
