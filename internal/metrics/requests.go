package metrics

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
)

// Memory is the sink that keeps a process's metrics for some intervals; *gometrics.InmemSink is one.
type Memory interface {
	gometrics.MetricSink
	DisplayMetrics(w http.ResponseWriter, r *http.Request) (any, error)
	Stream(ctx context.Context, encoder gometrics.Encoder)
}

// Requests is a sink that keeps the samples api.http itself, without making a string of the name and
// the labels each time, and passes all else to the sinks inside. It shows them as those would: in
// what Memory displays and as a Prometheus collector. It is safe for concurrent use.
type Requests struct {
	gometrics.FanoutSink
	memory   Memory
	interval time.Duration
	kept     time.Duration // how long Prometheus is shown a series that nothing was added to

	all atomic.Pointer[map[key]*series] // replaced when a series is added
	mu  sync.Mutex                      // held while one is
}

type key struct{ method, path string }

// NewRequests makes a sink in front of memory, whose intervals have the given length, and others.
// kept above 0 is how long a series that is not used any more is collected.
func NewRequests(memory Memory, interval, kept time.Duration, others ...gometrics.MetricSink) *Requests {
	r := &Requests{FanoutSink: append(gometrics.FanoutSink{memory}, others...), memory: memory, interval: interval, kept: kept}
	r.all.Store(&map[key]*series{})
	return r
}

// AddSampleWithLabels takes one sample, in milliseconds.
func (r *Requests) AddSampleWithLabels(name []string, ms float32, labels []gometrics.Label) {
	n := len(name)
	if n < 2 || name[n-2] != "api" || name[n-1] != "http" || len(labels) != 2 {
		r.FanoutSink.AddSampleWithLabels(name, ms, labels)
		return
	}
	k := key{labels[0].Value, labels[1].Value}
	s := (*r.all.Load())[k]
	if s == nil {
		s = r.add(k, name, labels)
	}
	s.add(time.Now(), r.interval, ms)
}

func (r *Requests) add(k key, name []string, labels []gometrics.Label) *series {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := *r.all.Load()
	if s := old[k]; s != nil {
		return s
	}
	all := make(map[key]*series, len(old)+1)
	for k, s := range old {
		all[k] = s
	}
	s := &series{name: strings.ReplaceAll(strings.Join(name, "."), " ", "_"), labels: slices.Clone(labels)}
	all[k] = s
	r.all.Store(&all)
	return s
}

// DisplayMetrics gives the last complete interval; it writes nothing.
func (r *Requests) DisplayMetrics(w http.ResponseWriter, req *http.Request) (any, error) {
	v, err := r.memory.DisplayMetrics(w, req)
	return r.complete(v), err
}

// Stream encodes each interval as it completes, until ctx ends.
func (r *Requests) Stream(ctx context.Context, encoder gometrics.Encoder) {
	r.memory.Stream(ctx, completing{encoder, r})
}

type completing struct {
	gometrics.Encoder
	r *Requests
}

func (c completing) Encode(v any) error { return c.Encoder.Encode(c.r.complete(v)) }

// complete adds the samples of requests to an interval's summary.
func (r *Requests) complete(v any) any {
	summary, ok := v.(gometrics.MetricsSummary)
	if !ok {
		return v
	}
	for _, s := range *r.all.Load() {
		if sample, ok := s.sample(summary.Timestamp, r.interval); ok {
			summary.Samples = append(summary.Samples, sample)
		}
	}
	slices.SortFunc(summary.Samples, func(a, b gometrics.SampledValue) int { return strings.Compare(a.Hash, b.Hash) })
	return summary
}
