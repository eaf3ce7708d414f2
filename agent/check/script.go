package check

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
	"time"

	"berth"
)

type scriptRunner struct {
	args      []string
	timeout   time.Duration
	outputMax int
}

// killGrace is how long output pipes that were handed on may stay open after the kill.
const killGrace = 500 * time.Millisecond

// Run runs the command in a process group of its own, which is killed as a whole when time
// is up. Exit code 0 is passing, 1 warning, all else critical.
func (s *scriptRunner) Run(ctx context.Context) Result {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	out := newTail(s.outputMax)
	cmd := exec.CommandContext(ctx, s.args[0], s.args[1:]...)
	cmd.Stdout, cmd.Stderr = out, out // the same writer: os/exec writes from one goroutine
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killGrace
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		r := critical("Timed out (%s) running check", s.timeout)
		r.Final = true
		if kept := out.String(); kept != "" {
			r.Output += ": " + kept
		}
		return r
	case err == nil:
		return Result{Status: berth.StatusPassing, Output: out.String()}
	case errors.As(err, &exit):
		return Result{Status: exitStatus(exit.ExitCode()), Output: out.String()}
	case errors.Is(err, exec.ErrWaitDelay): // exited well, but a child keeps the output open
		return Result{Status: exitStatus(cmd.ProcessState.ExitCode()), Output: out.String()}
	}
	return critical("%v", err)
}

// exitStatus is what an exit code means.
func exitStatus(code int) string {
	switch code {
	case 0:
		return berth.StatusPassing
	case 1:
		return berth.StatusWarning
	}
	return berth.StatusCritical
}
