package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"

	"berth"
)

// engine is the connection to the Docker engine that exec checks share.
type engine struct{ c *client.Client }

func (e *engine) close() { e.c.Close() }

// DockerClient makes a client for the engine of exec checks, with an API version that both know.
type DockerClient func() (*client.Client, error)

// dockerFromEnv is for DOCKER_HOST and its like, or the default socket.
func dockerFromEnv() (*client.Client, error) {
	return client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
}

// dockerEngine makes the client at its first use; it connects when it is used.
func (r *Runners) dockerEngine() (*engine, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.engine != nil {
		return r.engine, nil
	}
	c, err := r.cfg.Docker()
	if err != nil {
		return nil, fmt.Errorf("docker engine: %w", err)
	}
	r.engine = &engine{c}
	return r.engine, nil
}

type execRunner struct {
	runners   *Runners
	container string
	argv      []string
	timeout   time.Duration
	outputMax int
	last      string // exec that was left running when its time was up; a task has one run at a time
}

// execArgv is the command of an exec check: its arguments as they are, or given to a shell
// when the check names one.
func execArgv(def *berth.CheckDefinition) []string {
	if def.Shell == "" {
		return def.ScriptArgs
	}
	shell := def.Shell
	if strings.HasPrefix(shell, "$") {
		shell = os.Getenv(shell[1:])
	}
	return []string{shell, "-c", strings.Join(def.ScriptArgs, " ")}
}

// Run runs the command in the container. Exit codes are as for scripts. When time is up the
// check fails; the engine has no way to end the command, so none is started before it has ended.
func (x *execRunner) Run(ctx context.Context) Result {
	ctx, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	e, err := x.runners.dockerEngine()
	if err != nil {
		return critical("%v", err)
	}
	out := newTail(x.outputMax)
	code, err := x.exec(ctx, e.c, out)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		r := critical("Timed out (%s) running check in container %s", x.timeout, x.container)
		r.Final = true
		return r
	case err != nil:
		return critical("%v", err)
	}
	r := Result{Status: exitStatus(code), Output: out.String()}
	if code == 126 || code == 127 {
		r.Output = fmt.Sprintf("exit code %d: the container has no %q that can be run; use a command that its image contains. %s",
			code, x.argv[0], r.Output)
	}
	return r
}

func (x *execRunner) exec(ctx context.Context, c *client.Client, out io.Writer) (code int, err error) {
	if x.last != "" {
		if state, err := c.ContainerExecInspect(ctx, x.last); err == nil && state.Running {
			return 0, fmt.Errorf("the command of an earlier run still runs in container %s; none is started beside it", x.container)
		}
		x.last = ""
	}
	created, err := c.ContainerExecCreate(ctx, x.container, container.ExecOptions{
		AttachStdout: true, AttachStderr: true, Cmd: x.argv,
	})
	if err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", x.container, err)
	}
	x.last = created.ID
	attached, err := c.ContainerExecAttach(ctx, created.ID, container.ExecAttachOptions{})
	if err != nil {
		return 0, fmt.Errorf("start exec in container %s: %w", x.container, err)
	}
	defer attached.Close()
	stop := context.AfterFunc(ctx, attached.Close)
	defer stop()
	if _, err := stdcopy.StdCopy(out, out, attached.Reader); err != nil && ctx.Err() == nil {
		return 0, fmt.Errorf("read output of exec in container %s: %w", x.container, err)
	}
	state, err := c.ContainerExecInspect(ctx, created.ID)
	switch {
	case err != nil:
		return 0, fmt.Errorf("result of exec in container %s: %w", x.container, err)
	case state.Running:
		return 0, fmt.Errorf("exec in container %s closed its output but still runs", x.container)
	}
	x.last = ""
	return state.ExitCode, nil
}
