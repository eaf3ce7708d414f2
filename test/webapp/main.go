// Command webapp is the small web server that the demo, the stacks and the tests run in
// containers: it answers every request with its name, and stops gracefully.
//
//	webapp [-name NAME] [-drain DURATION] [-health FILE] PORT...
//	webapp -check URL      exit 0 when URL answers 200: for HEALTHCHECK
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	host, _ := os.Hostname()
	name := flag.String("name", host, "what to answer")
	drain := flag.Duration("drain", 0, "go on serving this long after SIGTERM")
	check := flag.String("check", "", "ask this URL and exit")
	health := flag.String("health", "", "answer 503 on /health while this file exists")
	flag.Parse()
	if *check != "" {
		os.Exit(ask(*check))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat(*health); *health != "" && err == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, "health of", *name)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, *name) })
	var servers []*http.Server
	for _, port := range flag.Args() {
		s := &http.Server{Addr: ":" + port, Handler: mux}
		servers = append(servers, s)
		go func() {
			if err := s.ListenAndServe(); err != http.ErrServerClosed {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}()
	}
	<-ctx.Done()
	time.Sleep(*drain)
	end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, s := range servers {
		_ = s.Shutdown(end)
	}
}

func ask(url string) int {
	client := http.Client{Timeout: 2 * time.Second}
	r, err := client.Get(url)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		fmt.Println(r.Status)
		return 1
	}
	return 0
}
