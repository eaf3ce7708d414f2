//go:build linux

// Command api measures HTTP APIs: durable writes, registrations and reads, each with a number of
// clients that send their next request when they have the answer to the last. It takes any
// addresses, so that one run can measure berth and, where there is one, a Consul; with the number
// of a server's process it says, too, what a request costs there:
//
//	go run ./test/bench/api noop=127.0.0.1:9000,PID berth=127.0.0.1:8500,PID consul=127.0.0.1:9500
//
// All servers are measured in turns, several rounds; the medians are printed, and the ratio of
// each server's rate to the first one's in the same round. "api noop ADDR" is a server to stand
// first: net/http without any work, whose answers are as long as those of the last server.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}

// server is one that is measured.
type server struct {
	name, addr string
	pid        int // 0: not known
}

type options struct {
	length, warmup time.Duration
	rounds         int
	only           string
	blocked        int
	checks         int
	servers        []server
}

func run(args []string, out io.Writer) error {
	if len(args) == 2 && args[0] == "noop" {
		return serveNoop(args[1])
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.blocked > 0 {
		return blocked(out, o.servers[len(o.servers)-1], o.blocked)
	}
	if o.checks > 0 {
		return checked(out, o.servers[len(o.servers)-1], o.checks)
	}
	if err := prepare(o.servers); err != nil {
		return err
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(out, "%d rounds of %v, load before: %s", o.rounds, o.length, load)
	fmt.Fprintf(out, "%-18s %-8s %7s %10s %7s %9s %9s %12s %12s %7s\n",
		"job", "server", "clients", "per second", "ratio", "p50 ms", "p99 ms", "us cpu/req", "us cpu/load", "failed")
	for _, j := range jobs {
		if !strings.Contains(j.name, o.only) {
			continue
		}
		if err := compare(out, j, o); err != nil {
			return err
		}
	}
	return nil
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("api", flag.ContinueOnError)
	flags.DurationVar(&o.length, "for", 3*time.Second, "how long each measurement runs")
	flags.DurationVar(&o.warmup, "warmup", 500*time.Millisecond, "how long requests run before each measurement")
	flags.IntVar(&o.rounds, "rounds", 5, "how many measurements of each server and job")
	flags.StringVar(&o.only, "only", "", "only the jobs whose name contains this")
	flags.IntVar(&o.blocked, "blocked", 0, "instead, have so many queries wait at the last server for one change")
	flags.IntVar(&o.checks, "checks", 0, "instead, have the last server run so many HTTP checks, each every 10 s")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for _, a := range flags.Args() {
		s := server{}
		var ok bool
		if s.name, s.addr, ok = strings.Cut(a, "="); !ok {
			return o, fmt.Errorf("server %q: use NAME=HOST:PORT or NAME=HOST:PORT,PID", a)
		}
		addr, pid, found := strings.Cut(s.addr, ",")
		if s.addr = addr; found {
			if s.pid, err = strconv.Atoi(pid); err != nil {
				return o, fmt.Errorf("server %q: process %q is not a number", a, pid)
			}
		}
		o.servers = append(o.servers, s)
	}
	if len(o.servers) == 0 || o.rounds < 1 {
		return o, errors.New("usage: api [options] NAME=HOST:PORT[,PID]..., or: api noop HOST:PORT")
	}
	return o, nil
}

// figures are what one measurement gave; in a server's summary each is a median of its own.
type figures struct {
	rate, ratio, p50, p99 float64
	cpu, load             float64 // microseconds a request: the server's, the generator's
	failed                int
}

// compare measures all servers in turns and prints a line for each.
func compare(out io.Writer, j job, o options) error {
	length, err := answerLength(o.servers[len(o.servers)-1].addr, j)
	if err != nil {
		return err
	}
	all := make([][]figures, len(o.servers))
	for range o.rounds {
		for i, s := range o.servers {
			f, err := measure(s, j, length, o)
			if err != nil {
				return fmt.Errorf("%s at %s: %w", j.name, s.addr, err)
			}
			f.ratio = 1
			if i > 0 {
				f.ratio = f.rate / all[0][len(all[0])-1].rate
			}
			all[i] = append(all[i], f)
		}
	}
	for i, s := range o.servers {
		f := median(all[i])
		fmt.Fprintf(out, "%-18s %-8s %7d %10.0f %7.2f %9.3f %9.3f %12.1f %12.1f %7d\n",
			j.name, s.name, j.clients, f.rate, f.ratio, f.p50, f.p99, f.cpu, f.load, f.failed)
	}
	return nil
}

// median takes the median of each figure and the sum of the failures.
func median(all []figures) (m figures) {
	of := func(get func(figures) float64) float64 {
		var v []float64
		for _, f := range all {
			v = append(v, get(f))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	m.rate = of(func(f figures) float64 { return f.rate })
	m.ratio = of(func(f figures) float64 { return f.ratio })
	m.p50 = of(func(f figures) float64 { return f.p50 })
	m.p99 = of(func(f figures) float64 { return f.p99 })
	m.cpu = of(func(f figures) float64 { return f.cpu })
	m.load = of(func(f figures) float64 { return f.load })
	for _, f := range all {
		m.failed += f.failed
	}
	return m
}
