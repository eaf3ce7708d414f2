// Command failover keeps one name pointing at the database that may be written to.
//
// It needs nothing but berth's HTTP API. Several may run: the one that holds the lock acts, and
// every change is a transaction that fails when the lock is lost. See docs/recipes/mysql.md.
//
//	failover -service mysql -vip mysql-vip -primary mysql-1 -promote CMD -demote CMD
//
// The hooks get FAILOVER_ID, FAILOVER_ADDRESS and FAILOVER_PORT of the database they work on, and
// FAILOVER_PRIMARY_ADDRESS and FAILOVER_PRIMARY_PORT of the one that is (to be) the primary. They
// may be called again for what is so already.
// To switch by hand: berth kv put failover/SERVICE/want INSTANCE-ID
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// config is what the operator decides.
type config struct {
	service, vip    string
	first           string // instance that is the primary when none was chosen yet; "" is any
	promote, demote string // hooks
	hookTimeout     time.Duration
	grace           time.Duration // how long a primary may be away before another one is promoted
	ttl             time.Duration // of the session
}

func main() {
	var cfg config
	addr := flag.String("http-addr", envOr("BERTH_HTTP_ADDR", "127.0.0.1:8500"), "berth's HTTP API")
	flag.StringVar(&cfg.service, "service", "mysql", "service whose instances are the databases")
	flag.StringVar(&cfg.vip, "vip", "", "service to keep pointing at the primary (default SERVICE-vip)")
	flag.StringVar(&cfg.first, "primary", "", "instance that starts as the primary; empty: the first that is healthy")
	flag.StringVar(&cfg.promote, "promote", "", "command that makes a database writable")
	flag.StringVar(&cfg.demote, "demote", "", "command that makes a database read-only and a replica of the primary")
	flag.DurationVar(&cfg.hookTimeout, "hook-timeout", 10*time.Second, "a hook that takes longer has failed")
	flag.DurationVar(&cfg.grace, "grace", time.Second, "how long the primary may be away before another is promoted")
	flag.DurationVar(&cfg.ttl, "ttl", 10*time.Second, "session TTL: another controller takes over this long after this one dies")
	flag.Parse()
	if cfg.vip == "" {
		cfg.vip = cfg.service + "-vip"
	}
	if cfg.promote == "" || cfg.demote == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "failover: -promote and -demote must say how to make a database writable and read-only; see -help")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	c := &controller{
		cfg: cfg, api: newAPI(*addr, os.Getenv("BERTH_HTTP_TOKEN")), log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		prefix: "failover/" + cfg.service + "/",
	}
	c.run(ctx)
}

func envOr(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

// hostName is what the lock's value says of who holds it.
func hostName() string {
	host, _ := os.Hostname()
	return host
}

// run competes for the lock and leads while it has it, until ctx ends.
func (c *controller) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := c.term(ctx)
		if ctx.Err() == nil && err != nil {
			c.log.Warn("starting again", "err", err)
			pause(ctx, time.Second)
		}
	}
}

// term is the life of one session: wait for the lock, lead, give it back.
func (c *controller) term(ctx context.Context) error {
	session, err := c.api.createSession(ctx, "failover of "+c.cfg.service, c.cfg.ttl)
	if err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	c.session = session
	ctx, cancel := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() { defer close(renewed); cancel(c.keep(ctx, session)) }()
	defer func() {
		cancel(nil)
		<-renewed
		end, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer done()
		_ = c.api.destroySession(end, session)
	}()
	for {
		held, err := c.api.acquire(ctx, c.prefix+"lock", session, hostName())
		if err != nil {
			return fmt.Errorf("acquire the lock: %w", errors.Join(err, context.Cause(ctx)))
		}
		if held {
			break
		}
		pause(ctx, time.Second)
	}
	c.log.Info("leading", "service", c.cfg.service)
	return errors.Join(c.lead(ctx), context.Cause(ctx))
}

// keep renews the session until ctx ends or the session is lost.
func (c *controller) keep(ctx context.Context, session string) error {
	last := time.Now()
	for ctx.Err() == nil {
		pause(ctx, c.cfg.ttl/3)
		attempt, cancel := context.WithTimeout(ctx, c.cfg.ttl/3)
		err := c.api.renewSession(attempt, session)
		cancel()
		switch {
		case err == nil:
			last = time.Now()
		case errors.Is(err, errNotFound), time.Since(last) > c.cfg.ttl:
			return fmt.Errorf("session lost: %w", err)
		}
	}
	return nil
}

// hook runs an operator's command for one database.
func (c *controller) hook(ctx context.Context, name, command string, on, primary instance, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	words := strings.Fields(command)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "FAILOVER_ID="+on.ID, "FAILOVER_ADDRESS="+on.Address, "FAILOVER_PORT="+strconv.Itoa(on.Port),
		"FAILOVER_PRIMARY_ADDRESS="+primary.Address, "FAILOVER_PRIMARY_PORT="+strconv.Itoa(primary.Port))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, on.ID, err, strings.TrimSpace(string(out)))
	}
	c.log.Info(name, "instance", on.ID)
	return nil
}

// pause waits, not longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
