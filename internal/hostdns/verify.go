package hostdns

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// lookup asks the host's resolver as applications do, in a fresh process: getaddrinfo by
// getent, or this program with Go's resolver where there is no getent. Within one process libc
// and Go would remember the resolv.conf of before.
func (h *Host) lookup(ctx context.Context, name string) (string, error) {
	argv := []string{"getent", "ahosts", name}
	if !h.runner().Has("getent") {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("neither getent nor this program can be run: %w", err)
		}
		argv = []string{self, "host", "lookup", name}
	}
	out, err := h.runner().Run(ctx, "", argv...)
	if err != nil {
		return "", err
	}
	var addrs []string
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 0 && (len(f) == 1 || f[1] == "STREAM") {
			addrs = append(addrs, f[0])
		}
	}
	if len(addrs) == 0 {
		return "", fmt.Errorf("%s: no address", strings.Join(argv, " "))
	}
	return strings.Join(addrs, " "), nil
}

// externalNow tells whether the host resolves the name at present.
func (h *Host) externalNow(ctx context.Context, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, h.settle())
	defer cancel()
	_, err := h.lookup(ctx, absolute(name))
	return err == nil
}

// absolute keeps a search list with a wildcard from answering for name.
func absolute(name string) string { return strings.TrimSuffix(name, ".") + "." }

// verify looks the names up until all resolve, and those of the catalog to what berth says;
// after the settle time the last error counts.
func (h *Host) verify(ctx context.Context, o Options, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, h.settle())
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for _, name := range names {
		var last error
		for {
			addrs, err := h.lookup(ctx, name)
			if err == nil {
				err = checkAnswer(ctx, o, name, addrs)
			}
			if err != nil && ctx.Err() != nil && last != nil {
				err = last // more than that the time is over
			}
			last = err
			if err == nil {
				fmt.Fprintf(h.Out, "  [ok  ] getaddrinfo %s: %s\n", name, addrs)
				break
			}
			select {
			case <-ctx.Done():
				fmt.Fprintf(h.Out, "  [FAIL] getaddrinfo %s: %v\n", name, err)
				return fmt.Errorf("%s does not resolve as it should: %w", name, err)
			case <-tick.C:
			}
		}
	}
	return nil
}

// checkAnswer compares a short name's addresses with those that berth has: a domain that is
// searched earlier may have the name, too. That is what --search last and none ask for.
func checkAnswer(ctx context.Context, o Options, name, addrs string) error {
	if o.Search != First || strings.Contains(name, ".") {
		return nil
	}
	a, err := ask(ctx, "udp", o.Address, name+".service."+o.Domain)
	if err != nil {
		return err
	}
	for _, ip := range a.addrs {
		if slices.Contains(strings.Fields(addrs), ip.String()) {
			return nil
		}
	}
	return fmt.Errorf("the host says %s, berth says %s: a domain that is searched before service.%s has this name, too; --search last accepts that", addrs, a, o.Domain)
}
