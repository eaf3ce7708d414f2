package hostdns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

// Uninstall takes an installation back. It needs neither the agent nor a network, and puts
// back only what is still as install left it; of the rest it shows the difference.
func (h *Host) Uninstall(ctx context.Context, o Options) error {
	r, err := h.loadRecord()
	if errors.Is(err, ErrNotInstalled) {
		fmt.Fprintln(h.Out, "Nothing to undo: "+ErrNotInstalled.Error())
		return nil
	}
	if err != nil {
		return err
	}
	if o.DryRun {
		h.showUndo(r, o.Force)
		return nil
	}
	if h.uid() != 0 {
		return errors.New("uninstalling changes files of the system and needs root: sudo berth host uninstall; --dry-run shows the plan without")
	}
	left := h.undo(ctx, r, o.Force)
	if len(left) > 0 {
		return fmt.Errorf("not put back: %s; the originals stay in %s. --force puts them back nevertheless", strings.Join(left, ", "), h.path(stateFile))
	}
	if err := h.forget(); err != nil {
		return fmt.Errorf("remove the record: %w", err)
	}
	h.tellAgent(ctx, h.port())
	fmt.Fprintf(h.Out, "Uninstalled, mode %s.\n", r.Mode)
	return nil
}

// verdict is what becomes of a file.
type verdict int

const (
	undone     verdict = iota // it is as it was before
	ours                      // it is as install left it
	edited                    // somebody changed it, but our values in it can be taken back
	notOurs                   // somebody replaced or removed it, and it no longer asks berth
	conflict                  // somebody changed it and it still asks berth
	unreadable                // it cannot be looked at
)

// judge compares a file with the record.
func (h *Host) judge(r *Record, c Change) (verdict, Entry, error) {
	now, err := readEntry(h.path(c.Path))
	switch {
	case err != nil:
		return unreadable, now, err
	case now.same(c.Before):
		return undone, now, nil
	case now.Kind == plain && hash(now.Data) == c.SHA256:
		return ours, now, nil
	case now.Kind == absent && c.Path == resolvConf:
		return ours, now, nil // a host without one has no use for that
	case now.Kind == absent:
		return notOurs, now, nil
	case len(c.Pointers) > 0 && now.Kind == plain:
		return edited, now, nil
	case c.Path == resolvConf && !h.asksBerth(r, now):
		return notOurs, now, nil
	}
	return conflict, now, nil
}

// asksBerth tells whether a resolv.conf names berth's address.
func (h *Host) asksBerth(r *Record, e Entry) bool {
	data := e.Data
	if e.Kind == symlink {
		data, _ = os.ReadFile(h.follow(resolvConf))
	}
	return slices.ContainsFunc(parseStub(data).servers, func(ip netip.Addr) bool { return ip == r.addr() })
}

// undo takes the changes back, files first, last one first; left is what stays.
func (h *Host) undo(ctx context.Context, r *Record, force bool) (left []string) {
	for _, c := range slices.Backward(r.Changes) {
		if c.Path == "" {
			continue
		}
		if text := h.undoFile(r, c, force); text != "" {
			left = append(left, text)
		}
	}
	for _, c := range slices.Backward(r.Changes) {
		if len(c.Undo) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, err := h.runner().Run(ctx, "", c.Undo...)
		cancel()
		if err != nil { // the service may be stopped: what it reads at its start is right
			fmt.Fprintf(h.Out, "  %v; run it later: %s\n", err, strings.Join(c.Undo, " "))
		} else {
			fmt.Fprintf(h.Out, "  ran %s\n", strings.Join(c.Undo, " "))
		}
	}
	return left
}

// undoFile puts one file back; a text says why not.
func (h *Host) undoFile(r *Record, c Change, force bool) string {
	v, now, err := h.judge(r, c)
	switch v {
	case undone:
		return ""
	case notOurs:
		if !force {
			fmt.Fprintf(h.Out, "  %s was replaced or removed since and does not ask berth; it stays. What install wrote, and what is there:\n%s",
				c.Path, diff(c.Path, c.After, now))
			return ""
		}
	case edited:
		if !force {
			return h.undoPointers(c, now)
		}
	case conflict:
		if !force {
			fmt.Fprintf(h.Out, "  %s was changed since install wrote it:\n%s", c.Path, diff(c.Path, c.After, now))
			return c.Path
		}
	case unreadable:
		fmt.Fprintf(h.Out, "  %v\n", err)
		return c.Path
	}
	if err := c.Before.put(h.path(c.Path)); err != nil {
		fmt.Fprintf(h.Out, "  %s: %v\n", c.Path, err)
		return c.Path
	}
	if c.Path == daemonJSON {
		fmt.Fprintln(h.Out, "  restart dockerd for new containers to see that")
	}
	if c.Before.Kind == absent {
		fmt.Fprintf(h.Out, "  removed %s\n", c.Path)
	} else {
		fmt.Fprintf(h.Out, "  restored %s\n", c.Path)
	}
	return ""
}

// undoPointers takes our values out of a file that others changed, too.
func (h *Host) undoPointers(c Change, now Entry) string {
	data, left, err := revert(now.Data, c.Pointers)
	if err != nil {
		fmt.Fprintf(h.Out, "  %s: %v\n", c.Path, err)
		return c.Path
	}
	for _, p := range left {
		fmt.Fprintf(h.Out, "  %s: %s was changed since; it stays\n", c.Path, p)
	}
	after := now
	after.Data = data
	if len(left) == len(c.Pointers) {
		return ""
	}
	if err := after.put(h.path(c.Path)); err != nil {
		fmt.Fprintf(h.Out, "  %s: %v\n", c.Path, err)
		return c.Path
	}
	fmt.Fprintf(h.Out, "  took berth's values out of %s, which others changed since:\n%s", c.Path, diff(c.Path, now, after))
	return ""
}

// showUndo prints what Uninstall would do.
func (h *Host) showUndo(r *Record, force bool) {
	fmt.Fprintf(h.Out, "Plan, undo of mode %s:\n", r.Mode)
	for _, c := range slices.Backward(r.Changes) {
		if c.Path == "" {
			continue
		}
		v, now, err := h.judge(r, c)
		switch {
		case err != nil:
			fmt.Fprintf(h.Out, "%s stays: %v\n", c.Path, err)
		case v == undone:
			fmt.Fprintf(h.Out, "%s is as it was before\n", c.Path)
		case v == ours || force:
			fmt.Fprint(h.Out, diff(c.Path, now, c.Before))
		case v == edited:
			after := now
			after.Data, _, _ = revert(now.Data, c.Pointers)
			fmt.Fprint(h.Out, diff(c.Path, now, after))
		default:
			fmt.Fprintf(h.Out, "%s was changed since install wrote it and stays:\n%s", c.Path, diff(c.Path, c.After, now))
		}
	}
	for _, c := range slices.Backward(r.Changes) {
		if len(c.Undo) > 0 {
			fmt.Fprintf(h.Out, "$ %s\n", strings.Join(c.Undo, " "))
		}
	}
}

// differences says which files are not as install left them.
func (h *Host) differences(r *Record) []string {
	var out []string
	for _, c := range r.Changes {
		if c.Path == "" {
			continue
		}
		now, err := readEntry(h.path(c.Path))
		switch {
		case err != nil:
			out = append(out, err.Error())
		case now.Kind == absent:
			out = append(out, c.Path+" is gone")
		case now.Kind == symlink:
			out = append(out, c.Path+" is a link to "+now.Target+" now")
		case hash(now.Data) != c.SHA256:
			out = append(out, c.Path+" was changed since")
		}
	}
	return out
}
