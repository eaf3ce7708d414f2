package main

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"berth/internal/config"
)

var registratorSpecs = []spec{{
	name: "registrator", args: "[consul://HOST:PORT]", synopsis: "Run the agent with gliderlabs/registrator's options and defaults",
	help: "Takes registrator's command line as it is, options before or after the address. The agent\n" +
		"holds the catalog itself: the address of a Consul agent is accepted and not used. berth called by\n" +
		"the name registrator does the same.",
	make: func() action { return new(registratorCommand) },
}}

type registratorCommand struct {
	config  *config.Flags
	set     *flagSet
	version bool
}

func (c *registratorCommand) flags(f *flagSet) {
	c.config, c.set = config.RegistratorFlags(f.FlagSet), f
	f.BoolVar(&c.version, "version", false, "print the version and end")
}

// daemon: see agentCommand.
func (c *registratorCommand) daemon() {}

// run takes the positional address out, wherever it stands: flag parsing ends at it.
func (c *registratorCommand) run(e *env, args []string) int {
	address := ""
	for len(args) > 0 {
		if address != "" {
			e.errorf("Error: unexpected argument %q: there is one address already, %s", args[0], address)
			return exitWrongUsage
		}
		address = args[0]
		if err := c.set.Parse(args[1:]); err != nil {
			e.errorf("Error: %v", err)
			return exitWrongUsage
		}
		args = c.set.Args()
	}
	if c.version {
		return (&versionCommand{format: "pretty"}).run(e, nil)
	}
	if address != "" {
		warning, err := checkRegistry(address)
		if err != nil {
			e.errorf("Error: %v", err)
			return exitWrongUsage
		}
		e.errorf("Warning: %s", warning)
	}
	return startAgent(e, c.config)
}

// checkRegistry looks at the registry address of registrator's command line.
func checkRegistry(address string) (string, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return "", fmt.Errorf("%q is not an address such as consul://localhost:8500", address)
	}
	if !slices.Contains([]string{"consul", "consul-tls", "consul-unix"}, scheme) {
		return "", fmt.Errorf("registry %q cannot be used: berth is the registry itself, only consul:// addresses are accepted", scheme)
	}
	host, _, _ := strings.Cut(rest, "/")
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return fmt.Sprintf("%s is not used: this agent holds the catalog itself. To join a cluster set retry_join (BERTH_RETRY_JOIN=%s)", address, host), nil
}
