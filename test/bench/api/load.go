//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// client is one connection with one request under way.
type client struct {
	fd      int
	number  int
	sent    int // requests so far
	began   time.Time
	request []byte
	body    []byte // scratch
	in      []byte // what has come of the answer
}

// generator drives all clients of a job from one thread, by epoll and plain system calls: on a
// machine that the server shares, a goroutine for each connection would cost as much as the server.
type generator struct {
	job     job
	addr    string
	length  int
	poll    int
	clients map[int32]*client
	times   []time.Duration
	failed  int
}

// sequence counts the requests of all measurements, so that none writes what is there already.
var sequence int

// measure runs a job for a while and gives its figures.
func measure(s server, j job, length int, o options) (figures, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	g := &generator{job: j, addr: s.addr, length: length, clients: make(map[int32]*client)}
	defer g.close()
	if err := g.start(); err != nil {
		return figures{}, err
	}
	if err := g.run(o.warmup); err != nil {
		return figures{}, err
	}
	g.times, g.failed = g.times[:0], 0
	server, self, begin := processorTime(s.pid), processorTime(os.Getpid()), time.Now()
	for _, c := range g.clients {
		if err := g.send(c); err != nil {
			return figures{}, err
		}
	}
	if err := g.run(o.length); err != nil {
		return figures{}, err
	}
	took := time.Since(begin)
	server, self = processorTime(s.pid)-server, processorTime(os.Getpid())-self
	n := len(g.times)
	if n == 0 {
		return figures{}, errors.New("no answer at all")
	}
	slices.Sort(g.times)
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	each := func(d time.Duration) float64 { return float64(d) / 1e3 / float64(n) }
	return figures{rate: float64(n) / took.Seconds(), p50: ms(g.times[n/2]), p99: ms(g.times[n*99/100]),
		cpu: each(server), load: each(self), failed: g.failed}, nil
}

// start connects all clients and has each send its first request.
func (g *generator) start() (err error) {
	if g.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	to, err := net.ResolveTCPAddr("tcp4", g.addr)
	if err != nil {
		return err
	}
	for i := range g.job.clients {
		c, err := g.connect(i, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())})
		if err == nil {
			err = g.send(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) connect(number int, to unix.Sockaddr) (*client, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	c := &client{fd: fd, number: number, sent: sequence, in: make([]byte, 0, 4<<10)}
	g.clients[int32(fd)] = c
	if err := unix.Connect(fd, to); err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return nil, err
	}
	return c, unix.EpollCtl(g.poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (g *generator) close() {
	for fd, c := range g.clients {
		sequence = max(sequence, c.sent)
		_ = unix.Close(int(fd))
	}
	_ = unix.Close(g.poll)
}

// run follows each answer by the next request, until d is over and the last answer has come. All
// clients have a request under way when it is called.
func (g *generator) run(d time.Duration) error {
	until := time.Now().Add(d)
	events := make([]unix.EpollEvent, len(g.clients))
	for busy := len(g.clients); busy > 0; {
		n, err := unix.EpollWait(g.poll, events, 10_000)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return errors.New("no answer within 10 s")
		}
		for _, e := range events[:n] {
			c := g.clients[e.Fd]
			done, err := g.receive(c)
			switch {
			case err != nil:
				return err
			case !done:
			case time.Now().Before(until):
				err = g.send(c)
			default:
				busy--
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *generator) send(c *client) error {
	c.request = g.job.appendRequest(c.request[:0], c.body[:0], g.addr, c.number, c.sent, g.length)
	c.sent++
	c.in = c.in[:0]
	c.began = time.Now()
	// Requests are much smaller than a socket's buffer, which is empty: this is one write.
	n, err := unix.Write(c.fd, c.request)
	if err == nil && n < len(c.request) {
		err = errors.New("the server takes no more")
	}
	return err
}

// receive reads what has come; done: the answer is whole.
func (g *generator) receive(c *client) (done bool, err error) {
	if len(c.in) == cap(c.in) {
		c.in = slices.Grow(c.in, cap(c.in))
	}
	n, err := unix.Read(c.fd, c.in[len(c.in):cap(c.in)])
	switch {
	case errors.Is(err, unix.EINTR):
		return false, nil
	case err != nil:
		return false, err
	case n == 0:
		return false, errors.New("the server closed a connection")
	}
	c.in = c.in[:len(c.in)+n]
	status, done, err := parseAnswer(c.in)
	if done {
		g.times = append(g.times, time.Since(c.began))
		if status != 200 {
			g.failed++
		}
	}
	return done, err
}

// processorTime is what a process has used so far; 0 when pid is 0 or has gone.
func processorTime(pid int) time.Duration {
	if pid == 0 {
		return 0
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name in parentheses may hold anything; user and system time are the 12th and 13th after it.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100) // the kernel's unit for user space
}
