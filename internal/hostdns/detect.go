package hostdns

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// facts is what is known of the host before anything is decided.
type facts struct {
	entry   Entry  // what lies at /etc/resolv.conf
	data    []byte // its content, through symbolic links
	stub    stub
	owner   string // the mode that fits who owns it
	why     string // how that was found out
	docker0 netip.Addr
	bridges []Address
}

// look collects the facts; it changes nothing.
func (h *Host) look() (*facts, error) {
	f := new(facts)
	var err error
	if f.entry, err = readEntry(h.path(resolvConf)); err != nil {
		return nil, fmt.Errorf("look at %s: %w", resolvConf, err)
	}
	f.data = f.entry.Data
	if f.entry.Kind == symlink {
		f.data, _ = os.ReadFile(h.follow(resolvConf)) // dangling: it says nothing
	}
	f.stub = parseStub(f.data)
	f.owner, f.why = h.owner(f)
	for _, a := range h.addrs() {
		if !a.Addr.Is4() {
			continue
		}
		if a.Interface == "docker0" {
			f.docker0 = a.Addr
		}
		if a.Interface == "docker0" || strings.HasPrefix(a.Interface, "br-") {
			f.bridges = append(f.bridges, a)
		}
	}
	return f, nil
}

// follow resolves a symbolic link below Root, where an absolute target is below Root, too.
func (h *Host) follow(name string) string {
	for range 8 {
		target, err := os.Readlink(h.path(name))
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(name), target)
		}
		name = target
	}
	return h.path(name)
}

// stubListener is where systemd-resolved answers.
var stubListener = netip.MustParseAddr("127.0.0.53")

// owner finds out who writes resolv.conf: the target of the link, then what the file says.
func (h *Host) owner(f *facts) (mode, why string) {
	target := f.entry.Target
	link := func(part string) bool { return f.entry.Kind == symlink && strings.Contains(target, part) }
	comment := strings.ToLower(f.stub.comment)
	switch {
	case link("systemd/resolve/"):
		return Resolved, "it is a link to " + target
	case link("NetworkManager/"):
		return NetworkManager, "it is a link to " + target
	case link("resolvconf/"):
		return ResolvConf, "it is a link to " + target
	case slices.Contains(f.stub.servers, stubListener) && h.runner().Has("resolvectl"):
		return Resolved, "it names 127.0.0.53, the listener of systemd-resolved"
	case strings.Contains(comment, "networkmanager"):
		return NetworkManager, "its first comment names NetworkManager"
	case strings.Contains(comment, "resolvconf") && h.runner().Has("resolvconf"):
		return ResolvConf, "its first comment names resolvconf"
	case f.entry.Kind == absent:
		return ResolvConfFile, "there is none"
	case f.entry.Kind == symlink:
		return ResolvConfFile, "it is a link to " + target + ", which nobody known writes"
	}
	return ResolvConfFile, "it is a plain file"
}

// isLocalStub tells whether ip is a resolver on this host, which is no upstream for a file
// that stays.
func isLocalStub(ip netip.Addr) bool { return ip.IsLoopback() }

// exists tells whether there is something at name.
func (h *Host) exists(name string) bool {
	_, err := os.Stat(h.path(name))
	return err == nil
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

const (
	modeFile   fs.FileMode = 0o644
	modeScript fs.FileMode = 0o755
)
