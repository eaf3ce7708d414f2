// Command app is what test containers run: it listens, and ends as it is told.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	port := flag.Int("port", 80, "TCP port to listen on")
	exit := flag.Int("exit", 0, "exit code")
	after := flag.Duration("after", 0, "exit by itself after this long")
	slow := flag.Duration("slow", 0, "how long stopping takes")
	ignore := flag.Bool("ignore", false, "ignore SIGTERM")
	probe := flag.String("probe", "", "health probe: passes while this file is there")
	touch := flag.String("touch", "", "create this file and end")
	remove := flag.String("remove", "", "remove this file and end")
	flag.Parse()
	switch {
	case *probe != "":
		if _, err := os.Stat(*probe); err != nil {
			fmt.Println("no file", *probe)
			os.Exit(1)
		}
		fmt.Println("file is there")
		return
	case *touch != "":
		if err := os.WriteFile(*touch, nil, 0o644); err != nil {
			os.Exit(1)
		}
		return
	case *remove != "":
		os.Remove(*remove)
		return
	}
	sig := make(chan os.Signal, 4)
	signal.Notify(sig, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1)
	if l, err := net.Listen("tcp", fmt.Sprintf(":%d", *port)); err == nil {
		defer l.Close()
	}
	fmt.Println("ready") // signals are heard from here on
	var timer <-chan time.Time
	if *after > 0 {
		timer = time.After(*after)
	}
	for {
		select {
		case s := <-sig:
			if s == syscall.SIGHUP || s == syscall.SIGUSR1 || *ignore {
				continue
			}
			time.Sleep(*slow)
			os.Exit(*exit)
		case <-timer:
			os.Exit(*exit)
		}
	}
}
