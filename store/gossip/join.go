package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// ErrOnlySelf: the addresses to join are this agent's own, so there is nobody to meet.
var ErrOnlySelf = errors.New("the addresses are this agent's own")

// How long a name server and a host are given. The libraries would look names up by a way of
// their own, over TCP and one after the other, and wait up to half a minute for each host.
const (
	lookupLimit = 5 * time.Second
	knockLimit  = 3 * time.Second
)

// Join looks the addresses (host or host:port) up and merges with the pools of those that answer.
// It returns how many others did, and an error when none did: ErrOnlySelf when no address is
// another's.
func (p *Pool) Join(ctx context.Context, addrs []string) (int, error) {
	s := p.serf.Load()
	if s == nil {
		return 0, ErrNotRunning
	}
	all, err := p.lookup(ctx, addrs)
	others := slices.DeleteFunc(all, p.own)
	if len(others) == 0 && err == nil {
		return 0, ErrOnlySelf
	} else if len(others) == 0 {
		return 0, err
	}
	there, err := p.knock(others)
	if len(there) == 0 {
		return 0, err
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	n, err := s.Join(there, true)
	return n, explain(err)
}

// OnlySelf tells whether all addresses are this agent's own.
func (p *Pool) OnlySelf(ctx context.Context, addrs []string) bool {
	all, err := p.lookup(ctx, addrs)
	return err == nil && !slices.ContainsFunc(all, func(a string) bool { return !p.own(a) })
}

// lookup gives the IP addresses with ports that names stand for now, each once. An address
// without a port gets this pool's own. The error tells what could not be looked up.
func (p *Pool) lookup(ctx context.Context, addrs []string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	found, errs := make([][]string, len(addrs)), make([]error, len(addrs))
	var wg sync.WaitGroup
	for i, a := range addrs {
		wg.Go(func() { found[i], errs[i] = lookupOne(ctx, withPort(a, p.Port())) })
	}
	wg.Wait()
	var all []string
	for _, a := range slices.Concat(found...) {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all, errors.Join(errs...)
}

func lookupOne(ctx context.Context, addr string) ([]string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("join address: %w", err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("join address %q: the port is not a number from 1 to 65535", addr)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []string{net.JoinHostPort(ip.String(), port)}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("join address: %w", err)
	}
	out := make([]string, len(ips))
	for i, ip := range ips {
		out[i] = net.JoinHostPort(ip.Unmap().String(), port)
	}
	return out, nil
}

// own tells whether an address is this pool's.
func (p *Pool) own(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	advertised := p.cfg.AdvertisePort
	if advertised == 0 {
		advertised = p.Port()
	}
	return port == strconv.Itoa(advertised) && host == p.cfg.AdvertiseAddr || port == strconv.Itoa(p.Port()) && host == p.cfg.BindAddr
}

// knock gives those addresses that take a connection now: hosts that are down shall not hold up
// the ones that are not.
func (p *Pool) knock(addrs []string) ([]string, error) {
	errs := make([]error, len(addrs))
	var wg sync.WaitGroup
	for i, a := range addrs {
		wg.Go(func() {
			c, err := p.net.DialAddressTimeout(memberlist.Address{Addr: a}, knockLimit)
			if err == nil {
				err = c.Close()
			}
			errs[i] = err
		})
	}
	wg.Wait()
	var there []string
	for i, a := range addrs {
		if errs[i] == nil {
			there = append(there, a)
		}
	}
	return there, errors.Join(errs...)
}

// withPort gives an address without a port this pool's own.
func withPort(addr string, port int) string {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		return addr
	}
	return net.JoinHostPort(strings.Trim(addr, "[]"), strconv.Itoa(port))
}
