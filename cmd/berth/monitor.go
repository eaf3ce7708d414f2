package main

import (
	"io"
	"strings"
)

var monitorSpecs = []spec{{
	name: "monitor", synopsis: "Show the agent's log as it is written",
	make: func() action { return new(monitorCommand) },
}}

type monitorCommand struct {
	client clientFlags
	level  string
	json   bool
}

func (c *monitorCommand) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.level, "log-level", "INFO", "lowest level to show")
	f.BoolVar(&c.json, "log-json", false, "one JSON object per line")
}

func (c *monitorCommand) run(e *env, _ []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	q := query("loglevel", strings.ToUpper(c.level))
	if c.json {
		q.Set("logjson", "true")
	}
	resp, err := cl.open(e.ctx, "GET", "/v1/agent/monitor", q, nil)
	if err != nil {
		return e.errorf("Error starting monitor: %v", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(e.stdout, resp.Body); err != nil {
		return e.errorf("\nThe log ended: %v", err)
	}
	return e.errorf("\nThe agent ended the log: it has stopped.")
}
