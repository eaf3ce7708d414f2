//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth/internal/dockertest"
	"berth/internal/testutil"
	"berth/registrator/enginetest"

	"github.com/miekg/dns"
)

// sampleCount is how many containers a latency benchmark uses: BERTH_SAMPLES, or 7.
func sampleCount() int {
	if n, err := strconv.Atoi(os.Getenv("BERTH_SAMPLES")); err == nil && n > 0 {
		return n
	}
	return 7
}

// stateTime reads a time such as State.StartedAt of a container.
func stateTime(e *dockertest.Engine, id, field string) (time.Time, error) {
	out, err := e.TryDocker("inspect", "-f", "{{.State."+field+"}}", id)
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339Nano, out)
}

func report(b *testing.B, what string, samples []time.Duration) {
	slices.Sort(samples)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(ms(samples[len(samples)/2]), what+"_median_ms")
	b.ReportMetric(ms(samples[(len(samples)*99)/100]), what+"_p99_ms")
	b.Logf("%s: %v", what, samples)
}

// reportLoad prints how busy the machine is: figures say little without it.
func reportLoad(b *testing.B) {
	load, err := os.ReadFile("/proc/loadavg")
	testutil.NoError(b, err)
	b.Logf("load average %s", load)
}

// BenchmarkContainer measures, on real containers, State.StartedAt until the name first resolves,
// and State.FinishedAt until it last did: once when the container is told to stop, once when its
// process crashes. `make bench-latency` runs it.
func BenchmarkContainer(b *testing.B) {
	e := dockertest.Start(b)
	a := startAgent(b, e.Host(), "-dev")
	var up, killed, crashed []time.Duration
	for b.Loop() {
		for i := range sampleCount() {
			started, ended := oneLife(b, e, a, fmt.Sprint("lat", i), func(id string) { e.Docker("kill", "-s", "KILL", id) })
			up, killed = append(up, started), append(killed, ended)
			started, ended = oneLife(b, e, a, fmt.Sprint("crash", i), func(id string) { crash(b, id) })
			up, crashed = append(up, started), append(crashed, ended)
		}
	}
	reportLoad(b)
	report(b, "start_to_name", up)
	report(b, "killed_to_gone", killed)
	report(b, "crashed_to_gone", crashed)
}

// oneLife is how long after its start a container had its name, and how long after its end it lost it.
func oneLife(b *testing.B, e *dockertest.Engine, a *agent, service string, end func(id string)) (up, down time.Duration) {
	b.Helper()
	name := service + ".service.consul"
	id := e.Docker("create", "-l", "SERVICE_NAME="+service, "-p", "8080", dockertest.Image)
	first := whenever(func() bool { return a.resolves(name, dns.TypeA) == nil })
	e.Docker("start", id)
	started, err := stateTime(e, id, "StartedAt")
	testutil.NoError(b, err)
	up = (<-first).Sub(started)
	last := whenever(func() bool { return a.gone(name) == nil })
	end(id)
	gone := <-last
	var finished time.Time
	testutil.Eventually(b, 5*time.Second, 5*time.Millisecond, func() error {
		finished, err = stateTime(e, id, "FinishedAt")
		if err == nil && finished.Before(started) {
			err = fmt.Errorf("not finished")
		}
		return err
	})
	e.Docker("rm", "-f", id)
	return up, gone.Sub(finished)
}

// whenever tells when cond first held.
func whenever(cond func() bool) <-chan time.Time {
	at := make(chan time.Time, 1)
	go func() {
		for !cond() {
			time.Sleep(500 * time.Microsecond)
		}
		at <- time.Now()
	}()
	return at
}

// BenchmarkRemoveAtOnce measures how long 30 names outlive `docker rm -f` of all of them.
func BenchmarkRemoveAtOnce(b *testing.B) {
	e := dockertest.Start(b)
	a := startAgent(b, e.Host(), "-dev")
	var after []time.Duration
	for b.Loop() {
		var ids []string
		for range 30 {
			ids = append(ids, e.Docker("run", "-d", "-l", "SERVICE_NAME=many", "-p", "8080", dockertest.Image))
		}
		testutil.Eventually(b, 20*time.Second, 10*time.Millisecond, func() error {
			var got []struct{}
			a.getJSON("/v1/catalog/service/many", &got)
			if len(got) != 30 {
				return fmt.Errorf("%d of 30 registered", len(got))
			}
			return nil
		})
		e.Docker(append(strings.Fields("rm -f"), ids...)...)
		returned := time.Now()
		for a.gone("many.service.consul") != nil {
			time.Sleep(time.Millisecond)
		}
		after = append(after, time.Since(returned))
	}
	reportLoad(b)
	report(b, "removed_to_gone", after)
}

// fakeEngine is a scripted engine on a socket, with an agent that watches it.
func fakeEngine(b *testing.B) (*enginetest.Engine, *agent) {
	eng := enginetest.New()
	sock := filepath.Join(b.TempDir(), "docker.sock")
	eng.Serve(b, sock)
	return eng, startAgent(b, "unix://"+sock, "-server", "-bootstrap-expect", "1", "-data-dir", b.TempDir())
}

func runFake(eng *enginetest.Engine, n int) []string {
	ids := make([]string, n)
	for i := range n {
		ids[i] = eng.Run(enginetest.Container{Name: fmt.Sprint("c", i), Labels: map[string]string{"SERVICE_NAME": fmt.Sprint("svc", i%50)},
			Ports: map[string][]enginetest.Binding{"80/tcp": {{HostIP: "0.0.0.0", HostPort: fmt.Sprint(20000 + i)}}}})
	}
	return ids
}

// raftIndex is how far the log is: every catalog write is an entry.
func (a *agent) raftIndex() int {
	a.t.Helper()
	var self struct{ Stats map[string]map[string]string }
	a.getJSON("/v1/agent/self", &self)
	n, err := strconv.Atoi(self.Stats["raft"]["last_log_index"])
	testutil.NoError(a.t, err)
	return n
}

func (a *agent) waitInstances(n int) {
	a.t.Helper()
	testutil.Eventually(a.t, time.Minute, 2*time.Millisecond, func() error {
		got, err := registered(a)
		if err == nil && len(got) != n {
			err = fmt.Errorf("%d instances in the catalog, want %d", len(got), n)
		}
		return err
	})
}

// status reads a line of /proc/<pid>/status, in KiB.
func (a *agent) status(key string) int {
	a.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	testutil.NoError(a.t, err)
	_, rest, _ := strings.Cut(string(text), key+":")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	testutil.NoError(a.t, err)
	return n
}

// BenchmarkThousandAtOnce starts 1,000 containers of a scripted engine at once, and removes them.
func BenchmarkThousandAtOnce(b *testing.B) {
	eng, a := fakeEngine(b)
	for b.Loop() {
		index, began := a.raftIndex(), time.Now()
		ids := runFake(eng, 1000)
		a.waitInstances(1000)
		b.ReportMetric(time.Since(began).Seconds()*1000, "all_registered_ms")
		b.ReportMetric(float64(a.raftIndex()-index), "writes_up")
		index, began = a.raftIndex(), time.Now()
		for _, id := range ids {
			eng.Remove(id)
		}
		a.waitInstances(0)
		b.ReportMetric(time.Since(began).Seconds()*1000, "all_gone_ms")
		b.ReportMetric(float64(a.raftIndex()-index), "writes_down")
	}
	b.ReportMetric(float64(a.status("VmHWM"))/1024, "peak_rss_MiB")
	reportLoad(b)
}

// BenchmarkIdle measures what an agent with 200 containers and nothing to do uses: BERTH_IDLE
// seconds, or 30.
func BenchmarkIdle(b *testing.B) {
	secs, err := strconv.Atoi(os.Getenv("BERTH_IDLE"))
	if err != nil {
		secs = 30
	}
	eng, a := fakeEngine(b)
	runFake(eng, 200)
	a.waitInstances(200)
	for b.Loop() {
		time.Sleep(5 * time.Second) // what the start has left over
		used, began, lists := a.cpu(), time.Now(), eng.Requests("list")
		time.Sleep(time.Duration(secs) * time.Second)
		b.ReportMetric(100*(a.cpu()-used).Seconds()/time.Since(began).Seconds(), "percent_cpu")
		b.ReportMetric(float64(eng.Requests("list")-lists), "lists")
	}
	b.ReportMetric(float64(a.status("VmRSS"))/1024, "rss_MiB")
	reportLoad(b)
}

// cpu is the processor time that the agent has used.
func (a *agent) cpu() time.Duration {
	a.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", a.cmd.Process.Pid))
	testutil.NoError(a.t, err)
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int
	for _, i := range []int{11, 12} { // utime, stime
		n, err := strconv.Atoi(f[i])
		testutil.NoError(a.t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
