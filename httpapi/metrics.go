package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is the agent's telemetry of the last minutes; *metrics.InmemSink satisfies it.
type Metrics interface {
	// DisplayMetrics gives the last complete interval; it writes nothing.
	DisplayMetrics(w http.ResponseWriter, r *http.Request) (any, error)
	// Stream encodes each interval as it completes, until ctx ends.
	Stream(ctx context.Context, encoder metrics.Encoder)
}

// agentMetrics answers GET /v1/agent/metrics.
func agentMetrics(c *call) (any, error) {
	if c.wantsPrometheus() {
		if c.s.cfg.Gatherer == nil {
			return nil, httpError(http.StatusUnsupportedMediaType, "Prometheus is not enabled since its retention time is not positive")
		}
		c.writeDeadline(writeTimeout)
		promhttp.HandlerFor(c.s.cfg.Gatherer, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}).ServeHTTP(c.w, c.r)
		return answered, nil
	}
	if c.s.cfg.Metrics == nil {
		return nil, httpError(http.StatusNotFound, "This agent keeps no metrics in memory")
	}
	return c.s.cfg.Metrics.DisplayMetrics(c.w, c.r)
}

func (c *call) wantsPrometheus() bool {
	if c.has("format") {
		return c.form.Get("format") == "prometheus"
	}
	accept := strings.ReplaceAll(strings.Join(c.r.Header["Accept"], ","), " ", "")
	return strings.Contains(accept, "application/openmetrics-text") || strings.Contains(accept, "text/plain;version=0.4.0")
}

// agentMetricsStream answers GET /v1/agent/metrics/stream: one JSON object for each interval.
func agentMetricsStream(c *call) (any, error) {
	if c.s.cfg.Metrics == nil {
		return nil, httpError(http.StatusNotFound, "This agent keeps no metrics in memory")
	}
	w := &streamWriter{c: c, contentType: typeJSON}
	if c.r.Method == http.MethodHead {
		w.start()
		return answered, nil
	}
	if err := w.Flush(); err != nil { // the client learns at once that it is connected
		return answered, nil
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	c.s.cfg.Metrics.Stream(ctx, &flushingEncoder{enc: json.NewEncoder(w), w: w, cancel: cancel})
	return answered, nil
}

// flushingEncoder sends each object at once and ends the stream when the client has gone.
type flushingEncoder struct {
	enc    *json.Encoder
	w      *streamWriter
	cancel context.CancelFunc
}

// Encode writes and flushes v.
func (e *flushingEncoder) Encode(v any) error {
	err := e.enc.Encode(v)
	if err == nil {
		err = e.w.Flush()
	}
	if err != nil {
		e.cancel()
	}
	return err
}
