package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// controller makes the name point at the primary. Its fields below cfg belong to the goroutine
// that runs lead; the session is set before that starts.
type controller struct {
	cfg     config
	api     *api
	log     *slog.Logger
	prefix  string // of our keys
	session string

	instances []instance
	keys      map[string]string // primary, want
	published string            // address the name points at by our last write; "" none, "?" unknown
	away      time.Time         // since when the primary is not healthy
	following map[string]string // replica -> primary it was made to follow
}

// fenceTimeout is how long a primary that is not healthy is given to become read-only.
const fenceTimeout = 2 * time.Second

// change is what one of the two watches saw.
type change func(*controller)

// lead watches databases and keys, and reconciles after every change, until ctx ends or the lock
// is lost.
func (c *controller) lead(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	changes := make(chan change)
	var watches sync.WaitGroup
	watches.Go(func() {
		watch(ctx, c.log, changes, func(index uint64) (change, uint64, error) {
			list, next, err := c.api.instances(ctx, c.cfg.service, index)
			return func(c *controller) { c.instances = list }, next, err
		})
	})
	watches.Go(func() {
		watch(ctx, c.log, changes, func(index uint64) (change, uint64, error) {
			keys, next, err := c.api.keys(ctx, c.prefix, index)
			return func(c *controller) { c.keys = keys }, next, err
		})
	})
	defer watches.Wait()
	defer cancel()

	c.instances, c.keys, c.published, c.following = nil, nil, "?", map[string]string{}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case apply := <-changes:
			apply(c)
		case <-timer.C:
		}
		if c.keys == nil || c.instances == nil {
			continue // one of the watches has not answered yet
		}
		again, err := c.reconcile(ctx)
		if err != nil {
			c.log.Error("not done", "err", err)
			again = time.Second
			if held, lockErr := c.api.acquire(ctx, c.prefix+"lock", c.session, hostName()); lockErr == nil && !held {
				return fmt.Errorf("the lock is lost: %w", err)
			}
		}
		timer.Reset(again)
	}
}

// watch asks again and again and hands on what changed.
func watch(ctx context.Context, log *slog.Logger, out chan<- change, ask func(index uint64) (change, uint64, error)) {
	var index uint64
	for ctx.Err() == nil {
		c, next, err := ask(index)
		if err != nil {
			if ctx.Err() == nil {
				log.Warn("berth does not answer", "err", err)
			}
			index = 0
			pause(ctx, time.Second)
			continue
		}
		if next < index {
			next = 0 // the index went backwards: start over
		}
		index = next
		select {
		case out <- c:
		case <-ctx.Done():
		}
	}
}

// find gives the instance of that ID, if it is there and healthy.
func (c *controller) find(id string) (instance, bool) {
	i := slices.IndexFunc(c.instances, func(in instance) bool { return in.ID == id })
	if i < 0 || !c.instances[i].Passing {
		return instance{ID: id}, false
	}
	return c.instances[i], true
}

// reconcile does the next thing that is needed; it asks to be called again after that long.
func (c *controller) reconcile(ctx context.Context) (time.Duration, error) {
	id := c.keys["primary"]
	primary, healthy := c.find(id)
	if want := c.keys["want"]; want != "" {
		return time.Second, c.wanted(ctx, want, primary, healthy)
	}
	switch {
	case id == "":
		return time.Second, c.choose(ctx, c.cfg.first)
	case healthy:
		c.away = time.Time{}
		if err := c.publish(ctx, primary); err != nil {
			return 0, err
		}
		return 30 * time.Second, c.follow(ctx, primary)
	}
	if err := c.withdraw(ctx, "primary "+id+" is not healthy"); err != nil {
		return 0, err
	}
	if c.away.IsZero() {
		c.away = time.Now()
	}
	if left := c.cfg.grace - time.Since(c.away); left > 0 {
		return left, nil
	}
	return time.Second, c.choose(ctx, "")
}

// choose promotes the instance of that ID, or any healthy one but the failed primary.
func (c *controller) choose(ctx context.Context, id string) error {
	failed := c.keys["primary"]
	for _, in := range c.instances {
		if !in.Passing || in.ID == failed || (id != "" && in.ID != id) {
			continue
		}
		if old := slices.IndexFunc(c.instances, func(o instance) bool { return o.ID == failed }); old >= 0 {
			// It may be cut off rather than dead: try to make it read-only first.
			if err := c.hook(ctx, "fence", c.cfg.demote, c.instances[old], in, fenceTimeout); err != nil {
				c.log.Warn("the failed primary could not be made read-only", "err", err)
			}
		}
		return c.install(ctx, in)
	}
	c.log.Warn("no healthy database to promote", "instances", len(c.instances))
	return nil
}

// wanted does what the operator asked for by the key: a switch to a healthy database.
func (c *controller) wanted(ctx context.Context, want string, primary instance, healthy bool) error {
	target, ok := c.find(want)
	if !ok || (want == primary.ID && healthy) {
		c.log.Warn("not switching: it is unknown, not healthy, or the primary already", "want", want)
		return c.api.txn(ctx, c.locked(), kvOp("delete", c.prefix+"want", "", ""))
	}
	if err := c.withdraw(ctx, "switch to "+want); err != nil {
		return err
	}
	if healthy {
		if err := c.hook(ctx, "demote", c.cfg.demote, primary, target, c.cfg.hookTimeout); err != nil {
			// Two writable databases are worse than no switch.
			c.log.Error("not switching: the primary could not be made read-only", "err", err)
			if err := c.api.txn(ctx, c.locked(), kvOp("delete", c.prefix+"want", "", "")); err != nil {
				return err
			}
			return c.publish(ctx, primary)
		}
	}
	return c.install(ctx, target)
}

// install promotes in, and makes it the primary: key and name change in one transaction.
func (c *controller) install(ctx context.Context, in instance) error {
	if err := c.api.txn(ctx, c.locked()); err != nil {
		return err // not ours to promote any more
	}
	if err := c.hook(ctx, "promote", c.cfg.promote, in, in, c.cfg.hookTimeout); err != nil {
		return err
	}
	ops := append(c.pointAt(in), kvOp("set", c.prefix+"primary", in.ID, ""), kvOp("delete", c.prefix+"want", "", ""))
	if err := c.api.txn(ctx, ops...); err != nil {
		return err
	}
	c.keys["primary"], c.keys["want"] = in.ID, ""
	c.published, c.away = fmt.Sprint(in.Address, in.Port), time.Time{}
	c.log.Info("the name points at", "instance", in.ID, "address", in.Address)
	return c.follow(ctx, in)
}

// follow makes every other healthy database a read-only replica of the primary, once each.
func (c *controller) follow(ctx context.Context, primary instance) error {
	for _, in := range c.instances {
		switch {
		case !in.Passing:
			delete(c.following, in.ID)
		case in.ID != primary.ID && c.following[in.ID] != primary.ID:
			if err := c.hook(ctx, "demote", c.cfg.demote, in, primary, c.cfg.hookTimeout); err != nil {
				return err
			}
			c.following[in.ID] = primary.ID
		}
	}
	return nil
}

// locked fails a transaction when the lock is not ours.
func (c *controller) locked() op { return kvOp("check-session", c.prefix+"lock", "", c.session) }

// pointAt makes the name's only instance that of in.
func (c *controller) pointAt(in instance) []op {
	node := map[string]any{"Node": c.cfg.vip, "Address": in.Address, "Meta": map[string]string{"external-node": "true"}}
	service := map[string]any{"ID": c.cfg.vip, "Service": c.cfg.vip, "Address": in.Address, "Port": in.Port,
		"Meta": map[string]string{"failover-instance": in.ID}}
	return []op{
		c.locked(),
		{"Node": map[string]any{"Verb": "set", "Node": node}},
		{"Service": map[string]any{"Verb": "set", "Node": c.cfg.vip, "Service": service}},
	}
}

// publish points the name at the primary unless it does already. It may have been restarted, or
// half demoted: it is promoted again before.
func (c *controller) publish(ctx context.Context, in instance) error {
	address := fmt.Sprint(in.Address, in.Port)
	if c.published == address {
		return nil
	}
	if err := c.hook(ctx, "promote", c.cfg.promote, in, in, c.cfg.hookTimeout); err != nil {
		return err
	}
	if err := c.api.txn(ctx, c.pointAt(in)...); err != nil {
		return err
	}
	c.published = address
	c.log.Info("the name points at", "instance", in.ID, "address", in.Address)
	return nil
}

// withdraw takes the name away: nobody shall connect to what is not the primary any more.
func (c *controller) withdraw(ctx context.Context, why string) error {
	if c.published == "" {
		return nil
	}
	service := map[string]any{"ID": c.cfg.vip, "Service": c.cfg.vip}
	err := c.api.txn(ctx, c.locked(), op{"Service": map[string]any{"Verb": "delete", "Node": c.cfg.vip, "Service": service}})
	if err != nil {
		return err
	}
	c.published = ""
	c.log.Info("the name is withdrawn", "reason", why)
	return nil
}
