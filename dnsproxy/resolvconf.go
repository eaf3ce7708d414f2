package dnsproxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strings"
)

// parseResolvConf reads the nameserver lines of a resolv.conf.
func parseResolvConf(data []byte) []endpoint {
	var out []endpoint
	sc := bufio.NewScanner(bytes.NewReader(data))
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if ip, err := netip.ParseAddr(f[1]); err == nil {
			out = append(out, endpoint{AddrPort: netip.AddrPortFrom(ip.Unmap(), 53)})
		}
	}
	return out
}

// defaults is the default upstreams: the configured ones, else what resolv.conf says. ok is
// false when the file cannot be read now and what is known should stay.
func (s *Server) defaults(cfg *ForwardConfig) (list []endpoint, ok bool) {
	if len(cfg.Upstreams) > 0 {
		return s.withoutSelf(endpoints(cfg.Upstreams)), true
	}
	if cfg.ResolvConf == "" {
		return nil, true
	}
	data, err := readCapped(cfg.ResolvConf)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("reading upstreams failed, keeping those known", "file", cfg.ResolvConf, "err", err)
		}
		return nil, false
	}
	list = s.withoutSelf(parseResolvConf(data))
	if len(list) == 0 {
		s.log.Warn("no upstream but this host: names outside the catalog get SERVFAIL", "file", cfg.ResolvConf)
	}
	return list, true
}

// withoutSelf drops our own listeners.
func (s *Server) withoutSelf(list []endpoint) []endpoint {
	var out []endpoint
	for _, e := range list {
		if s.own(e.AddrPort) {
			s.log.Debug("upstream is this server, left out", "upstream", e.String())
			continue
		}
		out = append(out, e)
	}
	return out
}

// maxFile is the most that is read of a hosts file or resolv.conf.
const maxFile = 64 << 20

var errTooLarge = errors.New("file is larger than 64 MiB")

// readCapped reads a whole file of reasonable size.
func readCapped(name string) ([]byte, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() { // reading a pipe or a device may never end
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s: %w", name, errTooLarge)
	}
	return data, err
}
