//go:build fault

package fault

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"berth/internal/dockertest"
	"berth/internal/testutil"
)

// The row of a node whose address changes under way (DHCP, VPN): everything it has registered
// follows, without a restart by hand.
func TestPromise_AddressChangesWhileRunning(t *testing.T) {
	engine := dockertest.Start(t)
	c := newCluster(t, options{servers: 1, clients: 1, configure: func(h *host) {
		if !h.server {
			h.set(map[string]any{"bind_addr": "0.0.0.0"})
			h.env = []string{"DOCKER_HOST=" + engine.Host()}
		}
	}})
	server, client := c.servers[0], c.clients[0]
	engine.Docker("run", "-d", "-l", "SERVICE_NAME=web", "-p", "18081:8080", dockertest.Image)
	testutil.NoError(t, client.register("own", "own", 80))
	names := []string{"web.service.consul", "own.service.consul", client.name + ".node.consul"}
	follows := func(limit time.Duration) {
		t.Helper()
		want := []string{client.addr()}
		for _, h := range []*host{server, client} {
			for _, name := range names {
				c.eventually(limit, func() error {
					got, _, err := h.lookup(name, time.Second)
					if err == nil && !slices.Equal(got, want) {
						err = fmt.Errorf("%s on %s is %v, want %v", name, h.name, got, want)
					}
					return err
				})
			}
		}
	}
	follows(patience(10 * time.Second))
	pid := client.pid()
	c.ChangeIP(client)
	moved := time.Now()
	follows(patience(30 * time.Second))
	t.Logf("all names have the new address %v after the change", time.Since(moved).Round(time.Millisecond))
	testutil.NoError(t, server.memberIs(client.name, memberAlive))
	testutil.Equal(t, client.pid(), pid)
}
