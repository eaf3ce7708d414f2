package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var _ prometheus.Collector = (*Requests)(nil)

// Describe is empty: which series there are depends on the requests.
func (r *Requests) Describe(chan<- *prometheus.Desc) {}

// Collect gives a summary for each series.
func (r *Requests) Collect(ch chan<- prometheus.Metric) {
	now := time.Now()
	for _, s := range *r.all.Load() {
		if m := s.summary(now, r.interval, r.kept); m != nil {
			ch <- m
		}
	}
}

func (s *series) summary(now time.Time, interval, kept time.Duration) prometheus.Metric {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept > 0 && now.Sub(s.last) > kept {
		return nil
	}
	labels := make(prometheus.Labels, len(s.labels))
	for _, l := range s.labels {
		labels[l.Name] = l.Value
	}
	name := strings.NewReplacer(" ", "_", ".", "_", "=", "_", "-", "_", "/", "_").Replace(s.name)
	desc := prometheus.NewDesc(name, name, nil, labels)
	return prometheus.MustNewConstSummary(desc, s.count, s.sum, s.quantiles(now, interval))
}
