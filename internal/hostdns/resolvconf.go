package hostdns

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// stub is what a resolv.conf says (man 5 resolv.conf).
type stub struct {
	servers []netip.Addr
	search  []string
	options []string
	other   []string // sortlist and what else libc may know
	comment string   // the first comment line
}

// parseStub reads a resolv.conf; lines that make no sense are left out, as libc does.
func parseStub(data []byte) stub {
	var s stub
	sc := bufio.NewScanner(bytes.NewReader(data))
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		if line == "" {
			continue
		}
		if line[0] == '#' || line[0] == ';' {
			if s.comment == "" {
				s.comment = strings.TrimSpace(line[1:])
			}
			continue
		}
		f := strings.Fields(line)
		switch f[0] {
		case "nameserver":
			if len(f) > 1 {
				if ip, err := netip.ParseAddr(f[1]); err == nil {
					s.servers = append(s.servers, ip.Unmap())
				}
			}
		case "search", "domain": // the last one counts
			s.search = f[1:]
		case "options":
			s.options = append(s.options, f[1:]...)
		default:
			s.other = append(s.other, line)
		}
	}
	return s
}

// option is the value of an option such as ndots:1; "" when it is not set.
func (s stub) option(name string) (value string, ok bool) {
	for _, o := range s.options {
		key, v, _ := strings.Cut(o, ":")
		if key == name {
			value, ok = v, true
		}
	}
	return value, ok
}

// searchList is the old list with berth's domain where it is wanted.
func searchList(old []string, domain, where string) []string {
	own := "service." + domain
	list := slices.DeleteFunc(slices.Clone(old), func(s string) bool { return strings.TrimSuffix(s, ".") == own })
	switch where {
	case First:
		return append([]string{own}, list...)
	case Last:
		return append(list, own)
	}
	return list
}

// maxServers is how many nameserver lines glibc reads.
const maxServers = 3

// render is the resolv.conf that asks berth at address.
func (s stub) render(o Options) []byte {
	var b strings.Builder
	b.WriteString("# Written by `berth host install`. `berth host uninstall` puts the former file back.\n")
	fmt.Fprintf(&b, "nameserver %s\n", o.Address.Addr())
	if o.Fallback {
		n := 1
		for _, ip := range s.servers {
			if ip != o.Address.Addr() && n < maxServers {
				fmt.Fprintf(&b, "nameserver %s\n", ip)
				n++
			}
		}
	}
	if list := searchList(s.search, o.Domain, o.Search); len(list) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(list, " "))
	}
	options := []string{"timeout:2", "attempts:2"}
	for _, opt := range s.options {
		key, _, _ := strings.Cut(opt, ":")
		// rotate would send every second question past berth.
		if key != "timeout" && key != "attempts" && key != "rotate" && !slices.Contains(options, opt) {
			options = append(options, opt)
		}
	}
	fmt.Fprintf(&b, "options %s\n", strings.Join(options, " "))
	for _, line := range s.other {
		b.WriteString(line + "\n")
	}
	return []byte(b.String())
}

// upstreams is the nameserver lines without those that are berth itself.
func (s stub) upstreams(own netip.Addr) []byte {
	var b strings.Builder
	b.WriteString("# The resolvers that berth forwards to; saved by `berth host install`.\n")
	for _, ip := range s.servers {
		if ip != own {
			fmt.Fprintf(&b, "nameserver %s\n", ip)
		}
	}
	return []byte(b.String())
}
