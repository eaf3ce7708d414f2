// Command dnswatch asks a DNS server for one name without a pause and prints each change of the
// answer with its time: how the demos show when a name moved.
//
//	dnswatch -server 127.0.0.1:8600 NAME
//
// A line is: the time, its nanoseconds since 1970, the addresses or "none". It ends on SIGINT or
// SIGTERM, with the number of questions and the largest number of addresses in one answer.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	server := flag.String("server", "127.0.0.1:8600", "DNS server to ask")
	every := flag.Duration("every", 2*time.Millisecond, "pause between questions")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: dnswatch [-server ADDR] [-every DURATION] NAME")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	watch(ctx, *server, strings.TrimSuffix(flag.Arg(0), ".")+".", *every)
}

func watch(ctx context.Context, server, name string, every time.Duration) {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, server)
	}
	r := net.Resolver{PreferGo: true, Dial: dial}
	tick := time.NewTicker(every)
	defer tick.Stop()
	last, questions, most := "", 0, 0
	for {
		addrs, err := r.LookupNetIP(ctx, "ip4", name)
		if ctx.Err() != nil {
			fmt.Printf("questions: %d, at most %d addresses in an answer\n", questions, most)
			return
		}
		now, answer := time.Now(), "none"
		var missing *net.DNSError
		switch {
		case err == nil:
			var list []string
			for _, a := range addrs {
				list = append(list, a.Unmap().String())
			}
			slices.Sort(list)
			answer = strings.Join(list, ",")
			most = max(most, len(list))
		case !errors.As(err, &missing) || !missing.IsNotFound:
			answer = "error: " + err.Error()
		}
		questions++
		if answer != last {
			fmt.Printf("%s %d %s\n", now.Format("15:04:05.000"), now.UnixNano(), answer)
			last = answer
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}
