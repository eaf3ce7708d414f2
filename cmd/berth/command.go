package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// env is what a command has of the process around it.
type env struct {
	ctx            context.Context
	vars           []string // KEY=value
	stdin          io.Reader
	stdout, stderr io.Writer
}

// get is the value of the first set variable among names.
func (e *env) get(names ...string) string {
	for _, name := range names {
		for _, kv := range e.vars {
			if v, ok := strings.CutPrefix(kv, name+"="); ok && v != "" {
				return v
			}
		}
	}
	return ""
}

func (e *env) printf(format string, args ...any) { fmt.Fprintf(e.stdout, format+"\n", args...) }

// errorf tells the user what went wrong and returns the exit status for it.
func (e *env) errorf(format string, args ...any) int {
	fmt.Fprintf(e.stderr, format+"\n", args...)
	return 1
}

// table prints rows aligned, two blanks between columns.
func (e *env) table(rows [][]string) { writeTable(e.stdout, rows) }

func writeTable(w io.Writer, rows [][]string) {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush()
	for line := range strings.Lines(b.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

// exitUsage is the status after a wrong command line.
const exitUsage = 1

// flagSet is a command's flags; those of the client are added when the command wants them.
type flagSet struct {
	*flag.FlagSet
	client *clientFlags // nil: the command does not talk to an agent
}

// http adds the flags of all commands that talk to an agent.
func (f *flagSet) http(c *clientFlags) {
	f.client = c
	c.define(f.FlagSet)
}

// server adds the flags of commands that read from servers.
func (f *flagSet) server(c *clientFlags) {
	f.http(c)
	f.StringVar(&c.datacenter, "datacenter", "", "datacenter to ask; empty is the agent's own")
	f.BoolVar(&c.stale, "stale", false, "any server may answer, not only the leader")
}

// command is a spec as the cli library wants it.
type command struct {
	spec
	env *env
}

// Synopsis is the line in the list of commands.
func (c *command) Synopsis() string { return c.synopsis }

// Help is the usage with all flags.
func (c *command) Help() string {
	a := c.make()
	fs := newFlagSet(c.name, a)
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: berth %s\n\n", usageLine(c.spec))
	fmt.Fprintf(&b, "  %s\n", strings.ReplaceAll(strings.TrimSpace(c.synopsis+".\n\n"+c.help), "\n", "\n  "))
	writeFlags(&b, fs)
	return strings.ReplaceAll(b.String(), "\n  \n", "\n\n")
}

func usageLine(s spec) string {
	return strings.Join(strings.Fields(s.name+" [options] "+s.args), " ")
}

func writeFlags(b *strings.Builder, fs *flagSet) {
	var own, client []string
	fs.VisitAll(func(f *flag.Flag) {
		line := fmt.Sprintf("  -%s\n      %s", f.Name, f.Usage)
		if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "0s" {
			line += fmt.Sprintf(" (default %s)", d)
		}
		if fs.client != nil && isClientFlag(f.Name) {
			client = append(client, line)
		} else {
			own = append(own, line)
		}
	})
	if len(own) > 0 {
		fmt.Fprintf(b, "\nOptions:\n\n%s\n", strings.Join(own, "\n"))
	}
	if len(client) > 0 {
		fmt.Fprintf(b, "\nHTTP API options:\n\n%s\n", strings.Join(client, "\n"))
	}
}

func newFlagSet(name string, a action) *flagSet {
	fs := &flagSet{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	fs.SetOutput(io.Discard)
	a.flags(fs)
	return fs
}

// Run parses the flags and runs the action.
func (c *command) Run(args []string) int {
	a := c.make()
	fs := newFlagSet(c.name, a)
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		c.env.printf("%s", c.Help())
		return 0
	}
	if err != nil {
		c.env.errorf("Error: %v\nRun `berth %s -help` for its options.", err, c.name)
		if _, ok := a.(interface{ daemon() }); ok {
			return exitWrongUsage
		}
		return exitUsage
	}
	return a.run(c.env, fs.Args())
}

// nothing says that there is nothing to show, which is no failure.
func (e *env) nothing(text string) int {
	fmt.Fprintln(e.stderr, text)
	return 0
}

// errPair says how pairs are written.
var errPair = errors.New("write it as key=value")

// flagInfo is a flag of a flag set.
type flagInfo = flag.Flag

func isClientFlag(name string) bool { return slices.Contains(clientFlagNames, name) }
