package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-metrics"
)

// apiSamples are the labels under which the requests of one endpoint are counted. They are made
// once, with the table: a request only picks its own.
type apiSamples map[string][]metrics.Label

// newAPISamples names an endpoint by its pattern, never by the path that was asked for: a client
// cannot make further series.
func newAPISamples(pattern string) apiSamples {
	path := metrics.Label{Name: "path", Value: strings.ReplaceAll(strings.TrimPrefix(pattern, "/"), "/", "_")}
	s := make(apiSamples)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodOptions} {
		s[method] = []metrics.Label{{Name: "method", Value: method}, path}
	}
	s[""] = []metrics.Label{{Name: "method", Value: "other"}, path}
	return s
}

// labels gives the labels for a method; those that nobody has heard of share one series.
func (s apiSamples) labels(method string) []metrics.Label {
	if l, ok := s[method]; ok {
		return l
	}
	return s[""]
}

// measure adds the sample api.http, in milliseconds. Time that a blocking query waited counts.
func (e *endpoint) measure(method string, began time.Time) {
	metrics.MeasureSinceWithLabels([]string{"api", "http"}, began, e.samples.labels(method))
}
