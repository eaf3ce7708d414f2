package metrics

import (
	"math"
	"sync"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
)

// series are the samples of one method and endpoint.
type series struct {
	name   string
	labels []gometrics.Label

	mu          sync.Mutex // guards what follows
	now, before period     // the interval under way, and the one with samples before it
	count       uint64
	sum         float64
	last        time.Time
}

// period is one interval of a series.
type period struct {
	begin   time.Time
	total   gometrics.AggregateSample
	buckets [buckets]uint32
}

func (s *series) add(now time.Time, interval time.Duration, ms float32) {
	v := float64(ms)
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.now.begin) >= interval {
		s.before, s.now = s.now, period{begin: now.Truncate(interval)}
	}
	t := &s.now.total
	if t.Count == 0 {
		t.Min, t.Max = v, v
	}
	t.Count++
	t.Sum += v
	t.SumSq += v * v
	t.Min, t.Max = min(t.Min, v), max(t.Max, v)
	s.now.buckets[bucketOf(ms)]++
	s.count++
	s.sum += v
	s.last = now
}

// sample is the interval that begins at a time of a summary; false: nothing came in it.
func (s *series) sample(timestamp string, interval time.Duration) (v gometrics.SampledValue, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range []*period{&s.now, &s.before} {
		if p.total.Count == 0 || p.begin.Round(time.Second).UTC().String() != timestamp {
			continue
		}
		total := p.total
		total.Rate = total.Sum / interval.Seconds()
		v = gometrics.SampledValue{Name: s.name, Hash: s.name, AggregateSample: &total, Mean: total.Mean(), Stddev: total.Stddev(),
			DisplayLabels: make(map[string]string)}
		for _, l := range s.labels {
			v.Hash += ";" + l.Name + "=" + l.Value
			v.DisplayLabels[l.Name] = l.Value
		}
		return v, true
	}
	return v, false
}

// Buckets are an eighth of a power of two wide, from 1/1024 ms to 2^20 ms.
const (
	lowest  = 127 - 10 // exponents as a float32 has them
	highest = 127 + 20
	buckets = (highest - lowest) * 8
)

func bucketOf(ms float32) int {
	if !(ms > 0) {
		return 0
	}
	return min(max(int(math.Float32bits(ms)>>20)-lowest*8, 0), buckets-1)
}

// middle is the value that stands for all in a bucket.
func middle(bucket int) float64 {
	return float64(math.Float32frombits(uint32(bucket+lowest*8)<<20 | 1<<19))
}

// quantiles are those of the last one or two intervals; NaN when nothing came in them.
func (s *series) quantiles(now time.Time, interval time.Duration) map[float64]float64 {
	q := map[float64]float64{0.5: math.NaN(), 0.9: math.NaN(), 0.99: math.NaN()}
	var recent []*period
	n := 0
	for _, p := range []*period{&s.now, &s.before} {
		if now.Sub(p.begin) < 2*interval {
			recent = append(recent, p)
			n += p.total.Count
		}
	}
	if n == 0 {
		return q
	}
	for at := range q {
		left := int(math.Ceil(at * float64(n)))
		for b := 0; left > 0; b++ {
			for _, p := range recent {
				left -= int(p.buckets[b])
			}
			q[at] = middle(b)
		}
	}
	return q
}
