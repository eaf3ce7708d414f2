package hostdns

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Socket is one that answers at a port.
type Socket struct {
	Proto  string // udp or tcp
	Addr   netip.AddrPort
	Inode  uint64
	Owners []Process // none: not visible, of another namespace or user
}

// Process is one that holds a socket.
type Process struct {
	PID  int
	Name string // as the kernel has it, 15 bytes
	Exe  string // "" when it cannot be read
}

func (p Process) String() string { return fmt.Sprintf("%s (pid %d)", p.Name, p.PID) }

// owner is the owners as text.
func (s Socket) owner() string {
	if len(s.Owners) == 0 {
		return "a process that is not visible from here (another container or user)"
	}
	var out []string
	for _, p := range s.Owners {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}

// covers tells whether a question to addr gets to s.
func (s Socket) covers(addr netip.AddrPort) bool {
	if s.Addr.Port() != addr.Port() {
		return false
	}
	ip := s.Addr.Addr()
	return ip == addr.Addr() || ip.IsUnspecified() && (ip.Is6() || addr.Addr().Is4())
}

// sockets lists what answers at a port, several sockets of one process and address as one.
func (h *Host) sockets(port uint16) []Socket {
	var all []Socket
	for _, file := range []string{"udp", "udp6", "tcp", "tcp6"} {
		data, err := os.ReadFile(h.path("/proc/net/" + file))
		if err != nil {
			continue // no IPv6
		}
		for _, s := range parseSockets(string(data), file[:3]) {
			if s.Addr.Port() == port {
				all = append(all, s)
			}
		}
	}
	h.findOwners(all)
	var out []Socket
	for _, s := range all {
		if !slices.ContainsFunc(out, func(o Socket) bool {
			return o.Proto == s.Proto && o.Addr == s.Addr && slices.Equal(o.Owners, s.Owners)
		}) {
			out = append(out, s)
		}
	}
	return out
}

// Socket states of /proc/net: a listening TCP socket, and an unconnected UDP one.
const (
	tcpListen = "0A"
	udpOpen   = "07"
)

// parseSockets reads a file of /proc/net, see proc(5); only sockets that take questions count.
func parseSockets(text, proto string) []Socket {
	var out []Socket
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 || (proto == "tcp" && f[3] != tcpListen) || (proto == "udp" && f[3] != udpOpen) {
			continue
		}
		addr, ok := parseProcAddr(f[1])
		inode, err := strconv.ParseUint(f[9], 10, 64)
		if ok && err == nil {
			out = append(out, Socket{Proto: proto, Addr: addr, Inode: inode})
		}
	}
	return out
}

// parseProcAddr reads an address as /proc/net writes it: 32-bit words in the byte order of the
// host, which is little-endian wherever berth runs.
func parseProcAddr(s string) (netip.AddrPort, bool) {
	host, portText, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	port, perr := strconv.ParseUint(portText, 16, 16)
	if !ok || err != nil || perr != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	ip, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), true
}

// findOwners looks through the open files of all processes for the sockets.
func (h *Host) findOwners(list []Socket) {
	want := map[string][]int{}
	for i, s := range list {
		link := fmt.Sprintf("socket:[%d]", s.Inode)
		want[link] = append(want[link], i)
	}
	if len(want) == 0 {
		return
	}
	dirs, _ := filepath.Glob(h.path("/proc/[0-9]*"))
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		fds, _ := os.ReadDir(filepath.Join(dir, "fd"))
		for _, fd := range fds {
			link, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
			if err != nil {
				continue
			}
			for _, i := range want[link] {
				p := readProcess(dir, pid)
				if !slices.Contains(list[i].Owners, p) {
					list[i].Owners = append(list[i].Owners, p)
				}
			}
		}
	}
}

func readProcess(dir string, pid int) Process {
	p := Process{PID: pid}
	name, _ := os.ReadFile(filepath.Join(dir, "comm"))
	p.Name = strings.TrimSpace(string(name))
	p.Exe, _ = os.Readlink(filepath.Join(dir, "exe"))
	return p
}

// isBerth tells whether p is an agent: the same program as this one, or one of its names.
func (h *Host) isBerth(p Process) bool {
	self, _ := os.Readlink(h.path("/proc/self/exe"))
	return self != "" && p.Exe == self || strings.HasPrefix(p.Name, "berth") || p.Name == "registrator"
}

// foreign is the socket at addr that surely is not berth's.
func (h *Host) foreign(list []Socket, addr netip.AddrPort) (Socket, bool) {
	for _, s := range list {
		if s.covers(addr) && len(s.Owners) > 0 && !slices.ContainsFunc(s.Owners, h.isBerth) {
			return s, true
		}
	}
	return Socket{}, false
}
