package metrics_test

import (
	"math"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"berth/internal/metrics"
	"berth/internal/testutil"
)

var get = []gometrics.Label{{Name: "method", Value: "GET"}, {Name: "path", Value: "v1_kv_"}}

const interval = 10 * time.Second

// What is displayed of requests is what the sink in memory shows of the same samples.
func TestRequests_DisplayedAsMemoryDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain, memory := gometrics.NewInmemSink(interval, time.Minute), gometrics.NewInmemSink(interval, time.Minute)
		r := metrics.NewRequests(memory, interval, time.Minute)
		for _, sink := range []gometrics.MetricSink{plain, r} {
			for _, ms := range []float32{3, 1, 8} {
				sink.AddSampleWithLabels([]string{"consul", "api", "http"}, ms, get)
				sink.AddSampleWithLabels([]string{"consul", "raft", "apply"}, ms, nil)
			}
		}
		time.Sleep(interval)
		for _, sink := range []gometrics.MetricSink{plain, r} {
			sink.SetGauge([]string{"next"}, 1)
			sink.AddSampleWithLabels([]string{"consul", "api", "http"}, 100, get)
		}
		want, err := plain.DisplayMetrics(nil, nil)
		testutil.NoError(t, err)
		got, err := r.DisplayMetrics(nil, nil)
		testutil.NoError(t, err)
		a, b := want.(gometrics.MetricsSummary), got.(gometrics.MetricsSummary)
		testutil.Equal(t, len(b.Samples), 2)
		for i := range a.Samples {
			x, y := a.Samples[i], b.Samples[i]
			x.AggregateSample.LastUpdated, y.AggregateSample.LastUpdated = time.Time{}, time.Time{}
			testutil.Equal(t, *y.AggregateSample, *x.AggregateSample)
			x.AggregateSample, y.AggregateSample = nil, nil
			testutil.Equal(t, y, x)
		}
	})
}

// collect gives the values of Prometheus' text by name and labels.
func collect(t *testing.T, r *metrics.Requests) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	testutil.NoError(t, registry.Register(r))
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	out := map[string]float64{}
	for line := range strings.Lines(w.Body.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") {
			v, err := strconv.ParseFloat(value, 64)
			testutil.NoError(t, err)
			out[name] = v
		}
	}
	return out
}

func TestRequests_Collected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := metrics.NewRequests(gometrics.NewInmemSink(interval, time.Minute), interval, time.Minute)
		for i := range 1000 {
			r.AddSampleWithLabels([]string{"consul", "api", "http"}, float32(i+1), get)
		}
		const count, sum = `consul_api_http_count{method="GET",path="v1_kv_"}`, `consul_api_http_sum{method="GET",path="v1_kv_"}`
		quantile := func(q string) string { return `consul_api_http{method="GET",path="v1_kv_",quantile="` + q + `"}` }
		got := collect(t, r)
		testutil.Equal(t, got[count], 1000.0)
		testutil.Equal(t, got[sum], 500500.0)
		for q, want := range map[string]float64{"0.5": 500, "0.9": 900, "0.99": 990} {
			if v := got[quantile(q)]; math.Abs(v-want) > want/15 {
				t.Errorf("quantile %v is %v, want about %v", q, v, want)
			}
		}
		time.Sleep(30 * time.Second)
		got = collect(t, r)
		testutil.Equal(t, got[count], 1000.0)
		testutil.Equal(t, math.IsNaN(got[quantile("0.5")]), true)
		time.Sleep(31 * time.Second)
		testutil.Equal(t, len(collect(t, r)), 0)
	})
}

func TestRequests_AnyDuration(t *testing.T) {
	r := metrics.NewRequests(gometrics.NewInmemSink(interval, time.Minute), interval, time.Minute)
	for _, ms := range []float32{0, -1, float32(math.NaN()), float32(math.Inf(1)), math.MaxFloat32, math.SmallestNonzeroFloat32} {
		r.AddSampleWithLabels([]string{"consul", "api", "http"}, ms, get)
	}
	testutil.Equal(t, collect(t, r)[`consul_api_http_count{method="GET",path="v1_kv_"}`], 6.0)
}

func BenchmarkRequests(b *testing.B) {
	r := metrics.NewRequests(gometrics.NewInmemSink(interval, time.Minute), interval, time.Minute)
	name := []string{"consul", "api", "http"}
	b.ReportAllocs()
	for b.Loop() {
		r.AddSampleWithLabels(name, 0.25, get)
	}
}
