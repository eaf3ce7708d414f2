// Command mysqlstub stands in for a MySQL server where no image of one can be pulled: it listens,
// says who it is and whether it may be written to, and can be told to change that.
//
//	mysqlstub serve ID ADDR      a database, read-only at first; ADDR like :3306
//	mysqlstub who ADDR           prints "ID writable" or "ID read-only"; exit 1 when it does not answer
//	mysqlstub promote            makes the one of FAILOVER_ADDRESS and FAILOVER_PORT writable
//	mysqlstub demote             makes it read-only
//
// The protocol is a line each way: who, promote or demote; the answer is that of who.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	var err error
	switch {
	case len(args) == 3 && args[0] == "serve":
		err = serve(args[1], args[2])
	case len(args) == 2 && args[0] == "who":
		err = ask(args[1], "who")
	case len(args) == 1 && (args[0] == "promote" || args[0] == "demote"):
		err = ask(net.JoinHostPort(os.Getenv("FAILOVER_ADDRESS"), os.Getenv("FAILOVER_PORT")), args[0])
	default:
		fmt.Fprintln(os.Stderr, "usage: mysqlstub serve ID ADDR | who ADDR | promote | demote")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mysqlstub:", err)
		os.Exit(1)
	}
}

// serve is the database: it runs until the process is told to stop.
func serve(id, addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	var writable atomic.Bool
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go answer(conn, id, &writable)
	}
}

func answer(conn net.Conn, id string, writable *atomic.Bool) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return
	}
	switch strings.TrimSpace(line) {
	case "promote":
		writable.Store(true)
	case "demote":
		writable.Store(false)
	}
	mode := "read-only"
	if writable.Load() {
		mode = "writable"
	}
	fmt.Fprintln(conn, id, mode)
}

// ask sends a line and prints the answer.
func ask(addr, what string) error {
	conn, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	fmt.Fprintln(conn, what)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil {
		fmt.Print(line)
	}
	return err
}
