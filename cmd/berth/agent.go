package main

import (
	"errors"

	"berth/internal/config"
)

var agentSpecs = []spec{{
	name: "agent", synopsis: "Run the agent",
	help: "Registers this host's containers, checks their health, answers DNS and the HTTP API,\n" +
		"and is a member of the cluster. Every option is also a key of the configuration files and\n" +
		"an environment variable; docs/config.md lists them.",
	make: func() action { return new(agentCommand) },
}}

type agentCommand struct {
	config *config.Flags
}

func (a *agentCommand) flags(f *flagSet) { a.config = config.AgentFlags(f.FlagSet) }

// daemon marks commands that run an agent: their wrong usage has a status of its own.
func (a *agentCommand) daemon() {}

func (a *agentCommand) run(e *env, args []string) int {
	if len(args) > 0 {
		e.errorf("Error: unexpected argument %q: every option starts with -", args[0])
		return exitWrongUsage
	}
	return startAgent(e, a.config)
}

// exit statuses of the agent.
const (
	exitFailed     = 1
	exitWrongUsage = 2
	exitInvalid    = 3
	exitNoDNS      = 4 // a DNS address that is required cannot be bound
)

// startAgent loads the configuration and runs the agent until it is told to stop; again from the
// start whenever the host's address has changed.
func startAgent(e *env, flags *config.Flags) int {
	err := errMoved
	for errors.Is(err, errMoved) {
		cfg, invalid := config.Load(flags.Sources(e.vars))
		if invalid == nil {
			invalid = checkRegistrator(cfg)
		}
		if invalid != nil {
			e.printProblems(invalid)
			return exitInvalid
		}
		err = runAgent(e.ctx, cfg, e.stdout)
	}
	if err == nil {
		return 0
	}
	e.errorf("==> %v", err)
	var code interface{ ExitStatus() int }
	if errors.As(err, &code) {
		return code.ExitStatus()
	}
	return exitFailed
}

// printProblems shows everything that is wrong with a configuration.
func (e *env) printProblems(err error) {
	var all *config.Error
	if !errors.As(err, &all) {
		e.errorf("Error: %v", err)
		return
	}
	for _, p := range all.Problems {
		e.errorf("Error: %s", p)
	}
}
