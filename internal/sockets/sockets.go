// Package sockets binds listening sockets with errors that a person can act on: they name the
// address and, where /proc tells, the process that holds it.
package sockets

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ListenTCP binds a TCP listener on ip:port for the purpose named by what.
func ListenTCP(what, ip string, port int) (net.Listener, error) {
	addr := net.JoinHostPort(ip, strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, Explain(err, what, "tcp", ip, port)
	}
	return l, nil
}

// Explain turns an error of binding ip:port into one that says what could not be bound, where,
// and who holds the port. network is tcp or udp.
func Explain(err error, what, network, ip string, port int) error {
	addr := net.JoinHostPort(ip, strconv.Itoa(port))
	switch {
	case isErrno(err, syscall.EADDRINUSE):
		if who := Holder(network, ip, port); who != "" {
			return fmt.Errorf("listen for %s on %s/%s: port is in use by %s: %w", what, addr, network, who, err)
		}
		return fmt.Errorf("listen for %s on %s/%s: port is in use by another process: %w", what, addr, network, err)
	case isErrno(err, syscall.EACCES):
		return fmt.Errorf("listen for %s on %s/%s: not allowed: ports below 1024 need root or CAP_NET_BIND_SERVICE: %w", what, addr, network, err)
	case isErrno(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen for %s on %s/%s: this host does not have that address: %w", what, addr, network, err)
	}
	return fmt.Errorf("listen for %s on %s/%s: %w", what, addr, network, err)
}

// isErrno also recognises errnos that a library has flattened into text.
func isErrno(err error, no syscall.Errno) bool {
	return errors.Is(err, no) || (err != nil && strings.Contains(err.Error(), no.Error()))
}

// Holder names the process that keeps others from binding ip:port, TCP or UDP, as `name (pid N)`,
// or "" when that cannot be told.
func Holder(network, ip string, port int) string {
	want, _ := netip.ParseAddr(ip)
	inodes := map[string]bool{}
	for _, suffix := range []string{"", "6"} {
		b, err := os.ReadFile("/proc/net/" + network + suffix)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if inode, ok := socketInode(line, network, want, port); ok {
				inodes["socket:["+inode+"]"] = true
			}
		}
	}
	if len(inodes) == 0 {
		return ""
	}
	return processWith(inodes)
}

// socketInode reads one line of /proc/net/{tcp,udp}: the inode of a socket bound to port and to want
// or a wildcard, that listens (TCP state 0A) or is unconnected (UDP state 07).
func socketInode(line, network string, want netip.Addr, port int) (string, bool) {
	f := strings.Fields(line)
	if len(f) < 10 {
		return "", false
	}
	if (network == "tcp" && f[3] != "0A") || (network == "udp" && f[3] != "07") {
		return "", false
	}
	host, p, ok := strings.Cut(f[1], ":")
	if !ok || !clashes(host, want) {
		return "", false
	}
	raw, err := hex.DecodeString(p)
	if err != nil || len(raw) != 2 || int(raw[0])<<8|int(raw[1]) != port {
		return "", false
	}
	return f[9], true
}

// clashes tells whether an address as /proc/net has it, words of four bytes in the order of the machine,
// and want cannot both be bound.
func clashes(host string, want netip.Addr) bool {
	b, err := hex.DecodeString(host)
	if err != nil || len(b)%4 != 0 {
		return false
	}
	for i := 0; i < len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], binary.NativeEndian.Uint32(b[i:]))
	}
	have, ok := netip.AddrFromSlice(b)
	return ok && (!want.IsValid() || want.IsUnspecified() || have.IsUnspecified() || have.Unmap() == want.Unmap())
}

// processWith finds the first process that has one of the sockets open.
func processWith(sockets map[string]bool) string {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, l := range links {
		target, err := os.Readlink(l)
		if err != nil || !sockets[target] {
			continue
		}
		pid := strings.Split(l, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return "pid " + pid
		}
		return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
	}
	return ""
}

// PrivateAddr picks the address that an agent bound to the wildcard should advertise: the
// first private IPv4 of an interface that is up, else any global unicast address.
func PrivateAddr() (netip.Addr, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list network interfaces: %w", err)
	}
	var all []netip.Addr
	for _, i := range ifaces {
		if i.Flags&net.FlagUp == 0 || strings.HasPrefix(i.Name, "docker") || strings.HasPrefix(i.Name, "br-") || strings.HasPrefix(i.Name, "veth") {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
				all = append(all, p.Addr().Unmap())
			}
		}
	}
	if len(all) == 0 {
		return netip.Addr{}, errors.New("no network interface has an address that could be advertised: set advertise_addr")
	}
	for _, want := range []func(netip.Addr) bool{
		func(a netip.Addr) bool { return a.Is4() && a.IsPrivate() },
		netip.Addr.Is4,
	} {
		if i := slices.IndexFunc(all, want); i >= 0 {
			return all[i], nil
		}
	}
	return all[0], nil
}
