package httpapi

import (
	"testing"
	"time"

	"github.com/hashicorp/go-metrics"

	"berth/internal/testutil"
)

// The label is the endpoint's pattern: neither names in paths nor methods of a client's own
// making become series.
func TestAPISamples_Labels(t *testing.T) {
	point, _ := newTable(routes()).find("/v1/kv/some/secret")
	for method, want := range map[string]string{"GET": "GET", "PUT": "PUT", "BREW": "other"} {
		testutil.Equal(t, point.samples.labels(method), []metrics.Label{{Name: "method", Value: want}, {Name: "path", Value: "v1_kv_"}})
	}
}

func BenchmarkAPISample(b *testing.B) {
	point, _ := newTable(routes()).find("/v1/health/service/web")
	began := time.Now()
	for b.Loop() {
		point.measure("GET", began)
	}
}
