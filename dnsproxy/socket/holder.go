package socket

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// portHolder finds who has a port, from /proc: "dnsmasq (pid 812)", or "" when it cannot be
// told.
func portHolder(proto, addr string) string {
	want, err := netip.ParseAddrPort(addr)
	if err != nil {
		return ""
	}
	for _, table := range []string{proto, proto + "6"} {
		inode := socketInode("/proc/net/"+table, want, proto == "tcp")
		if inode == "" {
			continue
		}
		if p := socketOwner(inode); p != "" {
			return p
		}
		return "another process"
	}
	return ""
}

// socketInode finds the listening socket on want's port and address, or a wildcard.
func socketInode(file string, want netip.AddrPort, listening bool) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for _, line := range strings.Split(string(data), "\n")[1:] {
		f := strings.Fields(line)
		if len(f) < 10 || listening && f[3] != "0A" {
			continue
		}
		ip, port, ok := procAddr(f[1])
		if ok && port == want.Port() && (ip == want.Addr() || ip.IsUnspecified() || want.Addr().IsUnspecified()) {
			return f[9]
		}
	}
	return ""
}

// procAddr reads "0100007F:0035": 32-bit words in host order, here little endian.
func procAddr(s string) (netip.Addr, uint16, bool) {
	host, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	if !ok || err != nil || len(raw)%4 != 0 {
		return netip.Addr{}, 0, false
	}
	for i := 0; i+3 < len(raw); i += 4 {
		raw[i], raw[i+1], raw[i+2], raw[i+3] = raw[i+3], raw[i+2], raw[i+1], raw[i]
	}
	ip, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	return ip.Unmap(), uint16(n), ok && err == nil
}

// socketOwner finds the process that has a socket open.
func socketOwner(inode string) string {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, l := range links {
		if target, err := os.Readlink(l); err != nil || target != "socket:["+inode+"]" {
			continue
		}
		pid := strings.Split(l, "/")[2]
		comm, _ := os.ReadFile("/proc/" + pid + "/comm")
		return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(comm)), pid)
	}
	return ""
}

// Drops sums what the kernel dropped at the UDP sockets of binds, from the last column of
// /proc/net/udp.
func Drops(binds []*Binding) uint64 {
	ours := map[netip.AddrPort]bool{}
	for _, b := range binds {
		ours[b.Addr] = true
	}
	var sum uint64
	for _, file := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(data), "\n")[1:] {
			f := strings.Fields(line)
			if len(f) < 13 {
				continue
			}
			if ip, port, ok := procAddr(f[1]); ok && ours[netip.AddrPortFrom(ip, port)] {
				n, _ := strconv.ParseUint(f[12], 10, 64)
				sum += n
			}
		}
	}
	return sum
}
