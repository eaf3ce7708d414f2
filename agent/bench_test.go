package agent

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"berth"
)

// BenchmarkRegister measures service registrations by 16 clients, as the API makes them: each
// waits until its service is on the agent's disk and in the catalog. The fake catalog answers
// after the given time, about what a durable raft commit takes.
func BenchmarkRegister(b *testing.B) {
	for _, bc := range []struct {
		name  string
		disk  bool
		delay time.Duration
	}{
		{"memory", false, 0},
		{"disk", true, 0},
		{"disk-commit-1ms", true, time.Millisecond},
	} {
		b.Run(bc.name, func(b *testing.B) {
			f := newFake()
			f.delay = bc.delay
			cfg := testConfig(f)
			if bc.disk {
				cfg.DataDir = b.TempDir()
			}
			a := newAgent(b, cfg)
			stop := start(b, a)
			defer stop()
			var n atomic.Int64
			b.SetParallelism((16 + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					def := berth.ServiceDefinition{
						ID: fmt.Sprint("web-", n.Add(1)), Name: "web", Tags: []string{"v1", "blue"}, Address: "10.1.2.3", Port: 80,
						Check: &berth.CheckDefinition{CheckTarget: berth.CheckTarget{TTL: berth.Duration(time.Minute)}, Status: berth.StatusPassing},
					}
					if err := a.RegisterService(b.Context(), &def, false); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "registrations/s")
			b.StopTimer()
		})
	}
}

// BenchmarkReplace measures a complete set of 1000 services in which one has changed.
func BenchmarkReplace(b *testing.B) {
	a := newAgent(b, testConfig(newFake()))
	sets := make([][]berth.ServiceDefinition, 2)
	for i := range sets {
		for k := range 1000 {
			id := fmt.Sprint("host:web-", k)
			def := owned(id, "engine/container/1", &berth.CheckDefinition{
				ID: "docker:" + id, Name: "Docker", Passive: true, Type: "docker", Status: berth.StatusPassing,
			})
			if k == 500 {
				def.Port = i
			}
			sets[i] = append(sets[i], def)
		}
	}
	for i := 0; b.Loop(); i++ {
		if err := a.Replace(berth.SourceDocker, sets[i%2]); err != nil {
			b.Fatal(err)
		}
	}
	a.shutdown()
}
