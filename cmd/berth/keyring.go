package main

import (
	"fmt"
	"maps"
	"slices"

	"berth"
	"berth/internal/config"
)

var keyringSpecs = []spec{{
	name: "keyring", synopsis: "Show and change the gossip keys of the cluster",
	help: "Exactly one of -install, -use, -remove, -list and -list-primary says what to do. To change the\nkey: install the new one, use it, remove the old one.",
	make: func() action { return new(keyringCommand) },
}}

type keyringCommand struct {
	client               clientFlags
	install, use, remove string
	list, primary, local bool
	relay                int
}

func (c *keyringCommand) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.install, "install", "", "key to add to the members' keyrings")
	f.StringVar(&c.use, "use", "", "installed key to encrypt with from now on")
	f.StringVar(&c.remove, "remove", "", "key to remove; not the one in use")
	f.BoolVar(&c.list, "list", false, "list all keys")
	f.BoolVar(&c.primary, "list-primary", false, "list the keys in use")
	f.BoolVar(&c.local, "local-only", false, "with -list: only this datacenter")
	f.IntVar(&c.relay, "relay-factor", 0, "0 to 5: members that pass each answer on")
}

func (c *keyringCommand) run(e *env, _ []string) int {
	method, key, verb, err := c.operation()
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	q := query()
	if c.relay > 0 {
		q.Set("relay-factor", fmt.Sprint(c.relay))
	}
	if c.local {
		q.Set("local-only", "true")
	}
	e.printf("==> %s...", verb)
	if method != "GET" {
		if err := cl.call(e.ctx, method, "/v1/operator/keyring", q, map[string]string{"Key": key}, nil); err != nil {
			return e.errorf("error: %v", err)
		}
		return 0
	}
	var responses []berth.KeyringResponse
	if err := cl.get(e.ctx, "/v1/operator/keyring", q, &responses); err != nil {
		return e.errorf("error: %v", err)
	}
	e.keyrings(responses, c.primary)
	return 0
}

// operation is what the flags ask for.
func (c *keyringCommand) operation() (method, key, verb string, err error) {
	chosen := 0
	for _, x := range []struct {
		on                bool
		method, key, verb string
	}{
		{c.install != "", "POST", c.install, "Installing new gossip encryption key"},
		{c.use != "", "PUT", c.use, "Changing primary gossip encryption key"},
		{c.remove != "", "DELETE", c.remove, "Removing gossip encryption key"},
		{c.list, "GET", "", "Gathering installed encryption keys"},
		{c.primary, "GET", "", "Gathering installed primary encryption keys"},
	} {
		if x.on {
			chosen++
			method, key, verb = x.method, x.key, x.verb
		}
	}
	switch {
	case chosen != 1:
		err = fmt.Errorf("give exactly one of -install, -use, -remove, -list and -list-primary")
	case c.relay < 0 || c.relay > 5:
		err = fmt.Errorf("-relay-factor %d is not within 0 to 5", c.relay)
	case c.local && method != "GET":
		err = fmt.Errorf("-local-only is for -list and -list-primary")
	case key != "":
		err = config.CheckKey(key)
	}
	return method, key, verb, err
}

func (e *env) keyrings(responses []berth.KeyringResponse, primary bool) {
	for _, r := range responses {
		pool := r.Datacenter + " (LAN)"
		if r.WAN {
			pool = "WAN"
		}
		e.printf("\n%s:", pool)
		for _, node := range slices.Sorted(maps.Keys(r.Messages)) {
			e.printf("  ===> %s: %s", node, r.Messages[node])
		}
		keys := r.Keys
		if primary {
			keys = r.PrimaryKeys
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			e.printf("  %s [%d/%d]", k, keys[k], r.NumNodes)
		}
	}
}
