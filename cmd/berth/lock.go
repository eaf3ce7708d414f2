package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

var lockSpecs = []spec{{
	name: "lock", args: "PREFIX COMMAND...", synopsis: "Run a command while holding a lock",
	help: "The lock is below PREFIX in the key/value store. When it is lost the command is told to end\n" +
		"by SIGTERM, and killed 5 s later.",
	make: func() action { return new(lockCommand) },
}}

type lockCommand struct {
	client                                 clientFlags
	limit, retry                           int
	name                                   string
	timeout, try                           time.Duration
	childStatus, passStdin, shell, verbose bool
}

func (c *lockCommand) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.client.datacenter, "datacenter", "", "datacenter of the lock; empty is the agent's own")
	f.IntVar(&c.limit, "n", 1, "how many may hold it; 1 is a lock, more is a semaphore")
	f.StringVar(&c.name, "name", "", "name of the session, for people")
	f.DurationVar(&c.timeout, "timeout", 0, "give up after so long; 0 is never")
	f.DurationVar(&c.try, "try", 0, "old name of -timeout")
	f.IntVar(&c.retry, "monitor-retry", 3, "failed looks at the lock that are forgiven")
	f.BoolVar(&c.childStatus, "child-exit-code", false, "exit with 2 when the command fails")
	f.BoolVar(&c.passStdin, "pass-stdin", false, "give standard input to the command")
	f.BoolVar(&c.shell, "shell", true, "run the command by /bin/sh")
	f.BoolVar(&c.verbose, "verbose", false, "say what happens")
}

// exitChild is the status with -child-exit-code when the command failed.
const exitChild = 2

func (c *lockCommand) run(e *env, args []string) int {
	if len(args) < 2 {
		return e.errorf("Error: lock needs a PREFIX and a COMMAND")
	}
	if c.limit < 1 {
		return e.errorf("Error: -n %d: at least one must be able to hold the lock", c.limit)
	}
	prefix := strings.TrimPrefix(args[0], "/")
	argv := args[1:]
	if c.shell {
		argv = []string{"/bin/sh", "-c", strings.Join(argv, " ")}
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	ctx, stop := signal.NotifyContext(e.ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	l := &locker{cl: cl, prefix: prefix, limit: c.limit, name: c.name}
	if l.name == "" {
		l.name = fmt.Sprintf("berth lock for '%s' at '%s'", strings.Join(args[1:], " "), prefix)
	}
	return c.locked(ctx, e, l, argv)
}

// locked takes the lock, runs the command and gives the lock back, whatever happens.
func (c *lockCommand) locked(ctx context.Context, e *env, l *locker, argv []string) int {
	if err := l.begin(ctx); err != nil {
		return e.errorf("Lock setup failed: %v", err)
	}
	renewing, endRenewal := context.WithCancel(context.WithoutCancel(ctx))
	renewed := make(chan struct{})
	go func() { defer close(renewed); l.renew(renewing) }()
	defer func() {
		endRenewal()
		<-renewed
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		l.release(after)
		cancel()
	}()
	c.say(e, "Attempting lock acquisition")
	acquiring, giveUp := ctx, context.CancelFunc(func() {})
	if wait := max(c.timeout, c.try); wait > 0 {
		acquiring, giveUp = context.WithTimeout(ctx, wait)
	}
	err := l.acquire(acquiring)
	giveUp()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return e.errorf("Error: the lock was not free within %v", max(c.timeout, c.try))
	case ctx.Err() != nil:
		return e.errorf("Shutdown triggered before the lock was acquired")
	case err != nil:
		return e.errorf("Lock acquisition failed: %v", err)
	}
	return c.child(ctx, e, l, argv)
}

func (c *lockCommand) say(e *env, text string) {
	if c.verbose {
		e.printf("%s", text)
	}
}

// child runs the command while the lock is held.
func (c *lockCommand) child(ctx context.Context, e *env, l *locker, argv []string) int {
	holding, lost := context.WithCancelCause(ctx)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		if err := l.held(holding, c.retry); err != nil {
			lost(err)
		}
	}()
	cmd := exec.CommandContext(holding, argv[0], argv[1:]...)
	cmd.Env = append(append([]string{}, e.vars...), "CONSUL_LOCK_HELD=true", "BERTH_LOCK_HELD=true")
	cmd.Stdout, cmd.Stderr = e.stdout, e.stderr
	if c.passStdin {
		cmd.Stdin = e.stdin
	} else {
		cmd.Stdin = strings.NewReader("")
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	c.say(e, "Starting handler '"+strings.Join(argv, " ")+"'")
	err := cmd.Run()
	cause := context.Cause(holding)
	lost(nil)
	<-watching
	c.say(e, "Cleanup succeeded")
	switch {
	case cause != nil && ctx.Err() == nil:
		return e.errorf("Lock lost, the command was ended: %v", cause)
	case ctx.Err() != nil:
		return e.errorf("Shutdown triggered, the command was ended")
	case err != nil && c.childStatus:
		e.errorf("Error running handler: %v", err)
		return exitChild
	case err != nil:
		return e.errorf("Error running handler: %v", err)
	}
	return 0
}
