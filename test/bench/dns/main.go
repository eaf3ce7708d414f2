// Command dns serves DNS for bench.sh: "berth" is dnsproxy with a catalog of so many instances and
// a forwarder, "noop" answers each datagram with itself, the least that a UDP server can do.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"berth/dnsproxy"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) != 3 && len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: dns noop ip:port, or dns berth ip:port instances upstream")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) == 3 {
		err = noop(ctx, os.Args[2])
	} else {
		err = serve(ctx, os.Args[2], os.Args[3], os.Args[4])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, addr, instances, upstream string) error {
	n, err := strconv.Atoi(instances)
	if err != nil {
		return err
	}
	view, err := newCatalog(n)
	if err != nil {
		return err
	}
	s, err := dnsproxy.New(dnsproxy.Config{
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Addrs: []string{addr},
		View:    view,
		Forward: dnsproxy.ForwardConfig{Upstreams: []string{upstream}, NoLoopProbe: true},
	})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

func noop(ctx context.Context, addr string) error {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	}}
	for range min(runtime.GOMAXPROCS(0), 4) {
		c, err := lc.ListenPacket(ctx, "udp4", addr)
		if err != nil {
			return err
		}
		go echo(c.(*net.UDPConn))
	}
	<-ctx.Done()
	return nil
}

// echo sends every datagram back with the QR bit set.
func echo(c *net.UDPConn) {
	buf := make([]byte, 4096)
	for {
		n, src, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if n > 2 {
			buf[2] |= 0x80
			_, _ = c.WriteToUDPAddrPort(buf[:n], src)
		}
	}
}
