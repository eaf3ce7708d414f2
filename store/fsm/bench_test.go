package fsm_test

import (
	"fmt"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"berth"
	"berth/store/command"
	"berth/store/fsm"

	"github.com/hashicorp/raft"
)

const (
	benchNodes   = 5000
	benchPerNode = 20
)

// registration of instance i; 3 instances share a name.
func registration(i, port int) *berth.Registration {
	id, name := fmt.Sprintf("app-%06d", i), fmt.Sprintf("app-%05d", i/3)
	return &berth.Registration{
		ID: fmt.Sprintf("aaaaaaaa-bbbb-cccc-dddd-%012d", i%benchNodes), Node: fmt.Sprintf("node-%05d", i%benchNodes),
		Address: fmt.Sprintf("10.0.%d.%d", i%benchNodes/250, i%benchNodes%250), Datacenter: "dc1",
		Service: &berth.ServiceInstance{ID: id, Name: name, Port: port, Tags: []string{"v1", "http"},
			Address: fmt.Sprintf("10.1.%d.%d", i/250%250, i%250),
			Meta:    map[string]string{"berth-source": "docker", "berth-owner": "engine/" + id + "/2024-01-01T00:00:00Z"}},
		Checks: []*berth.Check{{CheckID: "docker:" + id, Name: "docker", Status: "passing", ServiceID: id, Output: "healthy"}},
	}
}

type feeder struct {
	tb    testing.TB
	f     *fsm.FSM
	enc   command.Encoder
	index uint64
}

func newFeeder(tb testing.TB) *feeder {
	return &feeder{tb: tb, f: fsm.New(slog.New(slog.DiscardHandler), nil)}
}

func (f *feeder) encode(c command.Command) []byte {
	f.tb.Helper()
	b, err := f.enc.Encode(c)
	if err != nil {
		f.tb.Fatal(err)
	}
	return b
}

func (f *feeder) apply(entry []byte) command.Result {
	f.index++
	return f.f.Apply(&raft.Log{Index: f.index, Type: raft.LogCommand, Data: entry}).(command.Result)
}

// fill registers 100,000 instances on 5,000 nodes.
func (f *feeder) fill() {
	for n := 0; n < benchNodes*benchPerNode; n += 100 {
		c := &command.Catalog{}
		for i := n; i < n+100; i++ {
			c.Ops = append(c.Ops, berth.CatalogOp{Register: registration(i, 80)})
		}
		if res := f.apply(f.encode(c)); res.Errs != nil {
			f.tb.Fatal(res.Errs)
		}
	}
}

// cpuTime is the processor time of the process, garbage collection included: on a machine that
// is shared it says more than the clock.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure applies entries in turn and reports the processor time per member of an entry.
func (f *feeder) measure(b *testing.B, entries [][]byte, size int) {
	b.ReportAllocs()
	n, start := 0, cpuTime(b)
	for b.Loop() {
		f.apply(entries[n%len(entries)])
		n++
	}
	b.ReportMetric(float64((cpuTime(b)-start).Nanoseconds())/float64(n*size), "cpu-ns/op1")
}

func BenchmarkApplyRegister(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			f := newFeeder(b)
			f.fill()
			var entries [][]byte
			for k := range 128 { // the second half changes the ports that the first half set
				c := &command.Catalog{}
				for i := range size {
					c.Ops = append(c.Ops, berth.CatalogOp{Register: registration((k%64*size*7+i*13)%100000, 1000+k)})
				}
				entries = append(entries, f.encode(c))
			}
			f.measure(b, entries, size)
		})
	}
}

// BenchmarkApplyCome registers 100 new instances and takes them out again.
func BenchmarkApplyCome(b *testing.B) {
	f := newFeeder(b)
	f.fill()
	var entries [][]byte
	for k := range 32 {
		come, gone := &command.Catalog{}, &command.Catalog{}
		for i := range 100 {
			r := registration(200000+k*100+i*7, 80)
			come.Ops = append(come.Ops, berth.CatalogOp{Register: r})
			gone.Ops = append(gone.Ops, berth.CatalogOp{Deregister: &berth.Deregistration{Node: r.Node, ServiceID: r.Service.ID}})
		}
		entries = append(entries, f.encode(come), f.encode(gone))
	}
	f.measure(b, entries, 100)
}

func BenchmarkApplyCheck(b *testing.B) {
	f := newFeeder(b)
	f.fill()
	var entries [][]byte
	for k := range 64 {
		c := &command.Catalog{}
		for i := range 100 {
			r := registration((k%32*700+i*13)%100000, 80)
			r.Service, r.SkipNodeUpdate = nil, true
			r.Checks[0].Output = fmt.Sprint(k)
			c.Ops = append(c.Ops, berth.CatalogOp{Register: r})
		}
		entries = append(entries, f.encode(c))
	}
	f.measure(b, entries, 100)
}

func BenchmarkApplyKVSet(b *testing.B) {
	f := newFeeder(b)
	var entries [][]byte
	for i := range 4096 {
		entries = append(entries, f.encode(&command.KV{Op: berth.KVOp{Verb: berth.KVSet,
			Entry: berth.KVEntry{Key: fmt.Sprintf("app/config/%d", i*7%1000), Value: fmt.Appendf(nil, "value %d", i)}}}))
	}
	f.measure(b, entries, 1)
}

func BenchmarkApplyKVSetBatch100(b *testing.B) {
	f := newFeeder(b)
	var entries [][]byte
	for k := range 64 {
		batch := &command.Batch{}
		for i := range 100 {
			batch.Members = append(batch.Members, f.encode(&command.KV{Op: berth.KVOp{Verb: berth.KVSet,
				Entry: berth.KVEntry{Key: fmt.Sprintf("app/config/%d", (k+i*7)%1000), Value: fmt.Appendf(nil, "value %d", k)}}}))
		}
		entries = append(entries, f.encode(batch))
	}
	f.measure(b, entries, 100)
}

func BenchmarkService(b *testing.B) {
	f := newFeeder(b)
	f.fill()
	b.Run("reader", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, es := f.f.State().Read().Service(nil, "app-00042"); len(es) != 3 {
				b.Fatal(len(es))
			}
		}
	})
	b.Run("view", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if es := f.f.State().View().Service("app-00042"); len(es) != 3 {
				b.Fatal(len(es))
			}
		}
	})
	b.Run("view after a change", func(b *testing.B) {
		var entries [][]byte
		for k := range 2 {
			entries = append(entries, f.encode(&command.Catalog{Ops: []berth.CatalogOp{{Register: registration(126, 2000+k)}}}))
		}
		n := 0
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			f.apply(entries[n%2])
			n++
			b.StartTimer()
			if es := f.f.State().View().Service("app-00042"); len(es) != 3 {
				b.Fatal(len(es))
			}
		}
	})
}
