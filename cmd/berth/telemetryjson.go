package main

import (
	"context"
	"net/http"
	"slices"
	"strings"

	requests "berth/internal/metrics"

	"github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"
)

// metricsJSON shows what memory keeps and, as gauges, what components count by themselves, under
// the names that Prometheus gets them by.
type metricsJSON struct {
	memory     *requests.Requests
	components prometheus.Gatherer
}

// DisplayMetrics gives the last complete interval, and the components' counts of the moment.
func (m *metricsJSON) DisplayMetrics(w http.ResponseWriter, r *http.Request) (any, error) {
	v, err := m.memory.DisplayMetrics(w, r)
	if err != nil {
		return nil, err
	}
	return m.complete(v)
}

// Stream encodes each interval as it completes, until ctx ends.
func (m *metricsJSON) Stream(ctx context.Context, encoder metrics.Encoder) {
	m.memory.Stream(ctx, completing{encoder, m})
}

type completing struct {
	metrics.Encoder
	m *metricsJSON
}

// Encode adds the components' counts to an interval.
func (c completing) Encode(v any) error {
	v, err := c.m.complete(v)
	if err != nil {
		return err
	}
	return c.Encoder.Encode(v)
}

func (m *metricsJSON) complete(v any) (any, error) {
	summary, ok := v.(metrics.MetricsSummary)
	if !ok {
		return v, nil
	}
	families, err := m.components.Gather()
	if err != nil {
		return nil, err
	}
	summary.Gauges = slices.Clone(summary.Gauges)
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range metric.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			add := func(suffix string, v float64) {
				summary.Gauges = append(summary.Gauges, metrics.GaugeValue{Name: f.GetName() + suffix, Value: float32(v), DisplayLabels: labels})
			}
			switch {
			case metric.GetSummary() != nil:
				add("_count", float64(metric.GetSummary().GetSampleCount()))
				add("_sum", metric.GetSummary().GetSampleSum())
			case metric.GetCounter() != nil:
				add("", metric.GetCounter().GetValue())
			default:
				add("", metric.GetGauge().GetValue())
			}
		}
	}
	slices.SortStableFunc(summary.Gauges, func(a, b metrics.GaugeValue) int { return strings.Compare(a.Name, b.Name) })
	return summary, nil
}
