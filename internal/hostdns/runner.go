package hostdns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Runner runs other programs.
type Runner interface {
	// Has tells whether the program is there.
	Has(name string) bool
	// Run waits for argv with stdin and returns what it printed; its error says what the
	// program complained about.
	Run(ctx context.Context, stdin string, argv ...string) (string, error)
}

// runLimit bounds a program that does not end.
const runLimit = 20 * time.Second

// system runs programs of this machine.
type system struct{}

// Has looks where administrators' programs lie, too.
func (system) Has(name string) bool { return program(name) != "" }

func program(name string) string {
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/bin"} {
		p := filepath.Join(dir, name)
		if st, err := os.Stat(p); err == nil && st.Mode()&0o111 != 0 && !st.IsDir() {
			return p
		}
	}
	return ""
}

// Run runs argv.
func (system) Run(ctx context.Context, stdin string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	p := program(argv[0])
	if p == "" {
		return "", fmt.Errorf("%s: not installed", argv[0])
	}
	cmd := exec.CommandContext(ctx, p, argv[1:]...)
	cmd.WaitDelay = time.Second
	var out, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &complaint
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(complaint.String()); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("did not end in time: %w", err)
		}
		return out.String(), fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return out.String(), nil
}

// interfaceAddrs lists the addresses of interfaces that are up.
func interfaceAddrs() []Address {
	ifs, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var all []Address
	for _, i := range ifs {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		list, err := i.Addrs()
		if err != nil {
			continue // it went away
		}
		for _, a := range list {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				all = append(all, Address{i.Name, p.Addr().Unmap()})
			}
		}
	}
	return all
}
