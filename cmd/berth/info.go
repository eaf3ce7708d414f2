package main

import (
	"maps"
	"slices"
)

var localSpecs = []spec{
	{name: "info", synopsis: "Show this agent's figures", make: func() action { return new(infoCommand) }},
	{name: "version", synopsis: "Show the version", make: func() action { return new(versionCommand) }},
	{
		name: "validate", args: "FILE_OR_FOLDER...", synopsis: "Check configuration files",
		help: "Reads the files as the agent would and says everything that is wrong with them.\n" +
			"What is required but usually given by flags may be missing.",
		make: func() action { return new(validateCommand) },
	},
	{
		name: "health", synopsis: "Say whether the agent works: for HEALTHCHECK",
		help: "Exit status 0 when the agent answers and the datacenter has a leader, else 1.",
		make: func() action { return new(healthCommand) },
	},
	{
		name: "explain", args: "[CONTAINER]", synopsis: "Show what is registered of which container, and why",
		help: "Without an argument all containers are shown; with one, the container of that name, ID\n" +
			"or beginning of an ID in detail.",
		make: func() action { return new(explainCommand) },
	},
	{
		name: "resolve", args: "NAME [TYPE]", synopsis: "Ask this agent's DNS",
		help: "Prints the answers, one per line. TYPE is A, AAAA, SRV, TXT, PTR, ANY, ...; without it A and\n" +
			"AAAA are asked for, and PTR when NAME is an address. Exit status 1 when the name does not exist.",
		make: func() action { return new(resolveCommand) },
	},
}

type infoCommand struct{ client clientFlags }

func (c *infoCommand) flags(f *flagSet) { f.http(&c.client) }

func (c *infoCommand) run(e *env, _ []string) int {
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	var self struct{ Stats map[string]map[string]string }
	if err := cl.get(e.ctx, "/v1/agent/self", nil, &self); err != nil {
		return e.errorf("Error querying agent: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(self.Stats)) {
		e.printf("%s:", name)
		for _, k := range slices.Sorted(maps.Keys(self.Stats[name])) {
			e.printf("\t%s = %s", k, self.Stats[name][k])
		}
	}
	return 0
}
