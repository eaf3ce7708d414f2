package main

import (
	"strings"

	"berth"
)

type healthCommand struct{ client clientFlags }

func (c *healthCommand) flags(f *flagSet) { f.http(&c.client) }

func (c *healthCommand) run(e *env, _ []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	var leader string
	if err := cl.get(e.ctx, "/v1/status/leader", nil, &leader); err != nil {
		return e.errorf("unhealthy: %v", err)
	}
	if strings.TrimSpace(leader) == "" {
		return e.errorf("unhealthy: %v", berth.ErrNoLeader)
	}
	e.printf("healthy: leader is %s", leader)
	return 0
}
