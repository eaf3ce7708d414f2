// Command berth is the whole product: the agent, and the commands that talk to it.
package main

import (
	"context"
	"io"
	"os"

	"github.com/hashicorp/cli"
)

// version is set at build time by -ldflags "-X main.version=...".
var version = "0.1.0"

func main() {
	os.Exit(run(os.Args, os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// run is main without the process: it returns the exit status.
func run(args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := &env{ctx: context.Background(), vars: environ, stdin: stdin, stdout: stdout, stderr: stderr}
	c := newCLI(e, invocation(args))
	status, err := c.Run()
	if err != nil {
		e.errorf("%v", err)
		return 1
	}
	if status == noCommand && c.Subcommand() != "" {
		e.errorf("Error: there is no command %q; `berth -help` lists them", c.Subcommand())
	}
	return status
}

// noCommand is the exit status of a command line without a known command.
const noCommand = 127

// newCLI maps the command line to one of the commands.
func newCLI(e *env, args []string) *cli.CLI {
	c := cli.NewCLI("berth", "")
	c.Args = args
	c.Commands = commands(e)
	c.HiddenCommands = hiddenCommands
	c.HelpWriter, c.ErrorWriter = e.stdout, e.stderr
	c.HelpFunc = helpFunc
	return c
}
