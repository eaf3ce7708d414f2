package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/cli"
)

// spec is one command: what it is for, its flags, and what it does.
type spec struct {
	name     string // words that select it
	args     string // its arguments, for the usage line
	synopsis string
	help     string // paragraphs after the usage line
	make     func() action
}

// action holds the values of a command's flags.
type action interface {
	// flags defines the command's flags.
	flags(f *flagSet)
	// run does it and returns the exit status.
	run(e *env, args []string) int
}

// hiddenCommands are left out of the list that `berth` prints.
var hiddenCommands = []string{"docs", "docs config", "docs man", "host lookup"}

// specs is the table of all commands.
func specs() []spec {
	var all []spec
	for _, group := range [][]spec{
		agentSpecs, memberSpecs, catalogSpecs, serviceSpecs, kvSpecs, localSpecs, clusterSpecs, keyringSpecs,
		operatorSpecs, autopilotSpecs, snapshotSpecs, rttSpecs, eventSpecs, monitorSpecs, maintSpecs,
		watchSpecs, lockSpecs, execSpecs, debugSpecs, registratorSpecs, docsSpecs,
		hostSpecs,
	} {
		all = append(all, group...)
	}
	slices.SortFunc(all, func(a, b spec) int { return strings.Compare(a.name, b.name) })
	return all
}

// commands is the table as the cli library takes it.
func commands(e *env) map[string]cli.CommandFactory {
	m := map[string]cli.CommandFactory{}
	for _, s := range specs() {
		m[s.name] = func() (cli.Command, error) { return &command{spec: s, env: e}, nil }
	}
	for name, g := range groups {
		m[name] = func() (cli.Command, error) { return g, nil }
	}
	return m
}

// invocation is the command line without the program's name: berth called as registrator is
// `berth registrator`, and -version and -v are `berth version`.
func invocation(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	rest := args[1:]
	if filepath.Base(args[0]) == "registrator" {
		return append([]string{"registrator"}, rest...)
	}
	if len(rest) > 0 {
		switch rest[0] {
		case "-v", "-version", "--version":
			return append([]string{"version"}, rest[1:]...)
		}
	}
	return rest
}

// helpFunc lists the commands.
func helpFunc(all map[string]cli.CommandFactory) string {
	var b strings.Builder
	b.WriteString("Usage: berth [-version] [-help] [-autocomplete-(un)install] <command> [args]\n\nCommands:\n")
	names := slices.Sorted(maps.Keys(all))
	width := 0
	for _, n := range names {
		width = max(width, len(n))
	}
	for _, n := range names {
		if c, err := all[n](); err == nil {
			fmt.Fprintf(&b, "    %-*s  %s\n", width, n, c.Synopsis())
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// group is a command that only has sub-commands.
type group struct{ synopsis string }

// groups are the commands that only have sub-commands.
var groups = map[string]group{
	"catalog":            {"Look into the catalog"},
	"docs":               {"Print the references"},
	"host":               {"Make berth this host's resolver, and back"},
	"kv":                 {"Read and write the key/value store"},
	"operator":           {"Look after the servers"},
	"operator autopilot": {"Show how well the servers are, and set what autopilot does"},
	"operator raft":      {"Show and change which servers take part in raft"},
	"operator usage":     {"Count what is registered"},
	"services":           {"Register services with this agent"},
	"snapshot":           {"Save and restore the servers' state"},
}

// Synopsis is the line in the list of commands.
func (g group) Synopsis() string { return g.synopsis }

// Help stands before the list of sub-commands.
func (g group) Help() string { return g.synopsis + ".\n\nIt needs one of these sub-commands." }

// Run shows the help.
func (g group) Run([]string) int { return cli.RunResultHelp }
