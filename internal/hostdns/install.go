package hostdns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Install makes berth the host's resolver. It changes nothing before the agent's listener has
// answered and the user agreed, and undoes everything when the host does not resolve names
// afterwards: ErrRolledBack.
func (h *Host) Install(ctx context.Context, o Options) error {
	if err := o.fill(h.port()); err != nil {
		return err
	}
	f, err := h.look()
	if err != nil {
		return err
	}
	if o.Mode == Auto {
		o.Mode = f.owner
		fmt.Fprintf(h.Out, "%s: %s; mode %s\n", resolvConf, f.why, o.Mode)
	}
	if err := o.checkPort(h.port()); err != nil {
		return err
	}
	if o.Mode == Print {
		fmt.Fprint(h.Out, snippets(o.Address, o.Domain))
		return nil
	}
	if r, err := h.loadRecord(); err == nil {
		return h.again(r, o)
	} else if !errors.Is(err, ErrNotInstalled) {
		return err
	}
	if !o.DryRun && h.uid() != 0 {
		return errors.New("installing changes files of the system and needs root: sudo berth host install; --dry-run shows the plan without")
	}
	p, err := h.plan(o, f)
	if err != nil {
		return err
	}
	names, stopped := h.preflight(ctx, o, f, p)
	if stopped != nil && !o.DryRun {
		return stopped
	}
	h.show(p)
	if o.DryRun {
		return stopped
	}
	if !o.Yes && (h.Ask == nil || !h.Ask("Apply?")) {
		return errors.New("not agreed to, nothing was changed; --yes agrees beforehand")
	}
	return h.apply(ctx, o, p, names)
}

// again is an installation over another one.
func (h *Host) again(r *Record, o Options) error {
	if r.Phase == phaseApplying {
		return fmt.Errorf("an earlier installation of %s did not finish; run `berth host uninstall` first", r.Installed.Format(time.DateTime))
	}
	for _, d := range h.differences(r) {
		return fmt.Errorf("installed already in mode %s, but %s; run `berth host uninstall` first", r.Mode, d)
	}
	if r.Mode != o.Mode {
		return fmt.Errorf("installed already in mode %s; run `berth host uninstall` first", r.Mode)
	}
	fmt.Fprintf(h.Out, "installed already in mode %s; to change options run `berth host uninstall` first\n", r.Mode)
	return nil
}

// preflight proves that the plan can work; names is what must resolve afterwards.
func (h *Host) preflight(ctx context.Context, o Options, f *facts, p *plan) (names []string, err error) {
	for _, c := range p.changes {
		if c.Path != "" {
			if err := checkWritable(h.path(c.Path)); err != nil {
				return nil, err
			}
		} else if !h.runner().Has(c.Do[0]) {
			return nil, fmt.Errorf("mode %s needs %s, which is not installed", o.Mode, c.Do[0])
		}
	}
	external := h.externalNow(ctx, o.TestName)
	for _, at := range h.listeners(o, f) {
		if err := h.checkListener(ctx, at, o); err != nil {
			return nil, err
		}
		fmt.Fprintf(h.Out, "berth at %s:\n", at)
		probes := h.selfTestSettled(ctx, at, o, external)
		for _, p := range probes {
			fmt.Fprintln(h.Out, p)
		}
		if err := failed(probes); err != nil {
			return nil, fmt.Errorf("berth at %s is not ready to be the resolver, nothing was changed: %w", at, err)
		}
	}
	if o.Mode == Docker {
		return nil, nil // the host itself stays as it is
	}
	return h.mustResolve(ctx, o, external), nil
}

// mustResolve is the names that applications must find afterwards.
func (h *Host) mustResolve(ctx context.Context, o Options, external bool) []string {
	var names []string
	if external {
		names = append(names, absolute(o.TestName))
	}
	names = append(names, localName(o.Domain))
	short := findShort(ctx, o.Address, o.Services)
	if short == "" && o.Search != None {
		short = label
	}
	if short != "" {
		fmt.Fprintf(h.Out, "  [ok  ] short name for the test: %s\n", short)
		names = append(names, short)
	}
	return names
}

// listeners is where berth has to answer.
func (h *Host) listeners(o Options, f *facts) []netip.AddrPort {
	var out []netip.AddrPort
	if o.Mode != Docker {
		out = append(out, o.Address)
	}
	bridge := o.Bridge
	if !bridge.IsValid() {
		bridge = f.docker0
	}
	if o.Docker && bridge.IsValid() {
		out = append(out, netip.AddrPortFrom(bridge, h.port()))
	}
	return out
}

// show prints the plan.
func (h *Host) show(p *plan) {
	fmt.Fprintf(h.Out, "Plan, mode %s:\n", p.mode)
	if len(p.changes) == 0 {
		fmt.Fprintln(h.Out, "nothing to change")
	}
	for _, c := range p.changes {
		if c.Path != "" {
			fmt.Fprint(h.Out, diff(c.Path, c.Before, c.After))
		} else {
			fmt.Fprintf(h.Out, "$ %s\n", commandLine(c))
		}
	}
	switch p.upstreams.Kind {
	case symlink:
		fmt.Fprintf(h.Out, "Upstreams: those of %s\n", p.upstreams.Target)
	case plain:
		fmt.Fprintf(h.Out, "Upstreams, kept in %s:\n", upstreamsFile)
		for _, ip := range parseStub(p.upstreams.Data).servers {
			fmt.Fprintf(h.Out, "  %s\n", ip)
		}
		if len(parseStub(p.upstreams.Data).servers) == 0 {
			fmt.Fprintln(h.Out, "  none: set recursors in the agent's configuration")
		}
	}
	for _, n := range p.notes {
		fmt.Fprintf(h.Out, "Note: %s\n", n)
	}
}

func commandLine(c Change) string {
	text := ""
	for i, w := range c.Do {
		if i > 0 {
			text += " "
		}
		text += w
	}
	if c.Stdin != "" {
		text += " <<< " + fmt.Sprintf("%q", c.Stdin)
	}
	return text
}

// apply makes the changes, tests, and undoes them when the test fails.
func (h *Host) apply(ctx context.Context, o Options, p *plan, names []string) error {
	r := &Record{Phase: phaseApplying, Mode: p.mode, Address: o.Address.String(), Domain: o.Domain, Installed: h.now().UTC(), Changes: p.changes}
	if err := h.save(r); err != nil {
		return err
	}
	err := h.change(ctx, p)
	if err == nil && len(names) > 0 {
		fmt.Fprintln(h.Out, "Test of this host's resolver:")
		err = h.verify(ctx, o, names)
	}
	if err == nil {
		r.Phase = phaseInstalled
		if o.Confirm > 0 {
			r.Phase, r.ConfirmBy = phaseWaiting, h.now().Add(o.Confirm).UTC()
		}
		err = h.save(r)
	}
	if err == nil && o.Confirm > 0 {
		err = h.waitConfirmed(ctx, o.Confirm)
	}
	if err != nil {
		return h.rollBack(r, err)
	}
	fmt.Fprintf(h.Out, "Installed, mode %s. `berth host uninstall` takes it back.\n", r.Mode)
	return nil
}

// change does what the plan says, in order.
func (h *Host) change(ctx context.Context, p *plan) error {
	if p.upstreams.Kind != "" {
		if err := h.makeDir(upstreamsFile); err != nil {
			return err
		}
		if err := p.upstreams.put(h.path(upstreamsFile)); err != nil {
			return fmt.Errorf("save upstreams: %w", err)
		}
		// Before resolv.conf names only berth itself.
		h.tellAgent(ctx, h.port())
	}
	for _, c := range p.changes {
		if c.Path == "" {
			_, err := h.runner().Run(ctx, c.Stdin, c.Do...)
			if err != nil && !c.Lenient {
				return err
			}
			if err != nil {
				fmt.Fprintf(h.Out, "  [warn] %v\n", err)
			}
			continue
		}
		if err := h.makeDir(c.Path); err != nil {
			return err
		}
		if err := c.After.put(h.path(c.Path)); err != nil {
			return fmt.Errorf("write %s: %w", c.Path, err)
		}
	}
	return nil
}

func (h *Host) makeDir(name string) error { return os.MkdirAll(filepath.Dir(h.path(name)), 0o755) }

// tellAgent makes the agent look for its upstreams again: through its API, else by the signal
// for that.
func (h *Host) tellAgent(ctx context.Context, port uint16) {
	err := errors.New("no API")
	if h.Reload != nil {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		err = h.Reload(ctx)
		cancel()
	}
	if err == nil || h.Root != "" {
		return
	}
	for _, s := range h.sockets(port) {
		for _, owner := range s.Owners {
			if h.isBerth(owner) {
				_ = syscall.Kill(owner.PID, syscall.SIGHUP)
				return
			}
		}
	}
}

// rollBack undoes an installation that failed because of cause.
func (h *Host) rollBack(r *Record, cause error) error {
	fmt.Fprintf(h.Out, "Rolling back: %v\n", cause)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if left := h.undo(ctx, r, false); len(left) > 0 {
		return fmt.Errorf("%w, and rolling back is not complete, see above; `berth host uninstall` tries again", cause)
	}
	if err := h.forget(); err != nil {
		return fmt.Errorf("%w, %w, but the record remains: %w", cause, ErrRolledBack, err)
	}
	h.tellAgent(ctx, h.port())
	return fmt.Errorf("%w; %w, everything is as before", cause, ErrRolledBack)
}

// waitConfirmed waits until `berth host confirm` changed the record.
func (h *Host) waitConfirmed(ctx context.Context, limit time.Duration) error {
	fmt.Fprintf(h.Out, "Run `berth host confirm` within %v, or this is undone.\n", limit)
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r, err := h.loadRecord()
			if err != nil {
				return fmt.Errorf("waiting for confirmation: %w", err)
			}
			if r.Phase == phaseInstalled {
				fmt.Fprintln(h.Out, "Confirmed.")
				return nil
			}
		case <-end.C:
			return fmt.Errorf("not confirmed within %v", limit)
		case <-ctx.Done():
			return fmt.Errorf("interrupted before it was confirmed: %w", context.Cause(ctx))
		}
	}
}

// Confirm keeps an installation that waits for it.
func (h *Host) Confirm(dryRun bool) error {
	r, err := h.loadRecord()
	if err != nil {
		return err
	}
	switch {
	case r.Phase == phaseInstalled:
		fmt.Fprintln(h.Out, "Nothing waits for confirmation; installed in mode", r.Mode)
		return nil
	case r.Phase == phaseApplying:
		return errors.New("the installation is not finished; wait, or run `berth host uninstall`")
	case h.now().After(r.ConfirmBy):
		return fmt.Errorf("too late: it had to be confirmed by %s", r.ConfirmBy.Local().Format(time.DateTime))
	case dryRun:
		fmt.Fprintln(h.Out, "Would confirm mode", r.Mode)
		return nil
	case h.uid() != 0:
		return errors.New("confirming needs root: sudo berth host confirm")
	}
	r.Phase, r.ConfirmBy = phaseInstalled, time.Time{}
	if err := h.save(r); err != nil {
		return err
	}
	fmt.Fprintln(h.Out, "Confirmed, mode", r.Mode)
	return nil
}
