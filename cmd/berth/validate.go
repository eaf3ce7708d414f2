package main

import (
	"errors"
	"fmt"

	"berth"
	"berth/agent"
	"berth/internal/config"
	"berth/store"
)

type validateCommand struct {
	quiet  bool
	format string
}

func (c *validateCommand) flags(f *flagSet) {
	f.BoolVar(&c.quiet, "quiet", false, "print nothing when all is well")
	f.StringVar(&c.format, "config-format", "", "accepted; the format is seen from the file")
}

func (c *validateCommand) run(e *env, args []string) int {
	if len(args) == 0 {
		return e.errorf("Error: name at least one configuration file or folder")
	}
	cfg, err := config.Validate(args)
	if err == nil {
		err = errors.Join(checkRegistrator(cfg), checkDefinitions(cfg, true))
	}
	if err != nil {
		e.printProblems(err)
		return 1
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintln(e.stderr, "Warning:", w)
	}
	if err := checkDefinitions(cfg, false); err != nil { // a flag may enable scripts
		fmt.Fprintln(e.stderr, "Warning:", err)
	}
	if !c.quiet {
		e.printf("Configuration is valid!")
	}
	return 0
}

// checkDefinitions asks what an agent would refuse of the services and checks, if it runs scripts in
// any case, or only if the files say so.
func checkDefinitions(cfg *config.Config, scripts bool) error {
	ac := agent.Config{
		Node: cfg.Node.Name, Nodes: (*store.Store)(nil), // only asked whether there is one
		EnableScriptChecks: scripts || cfg.Checks.ScriptsRemote, EnableLocalScriptChecks: cfg.Checks.ScriptsLocal,
	}
	return agent.Validate(ac, berth.SourceConfig, cfg.Definitions.Services, cfg.Definitions.Checks)
}
