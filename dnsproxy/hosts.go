package dnsproxy

import (
	"bytes"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// hostsEntry is one line of a hosts file.
type hostsEntry struct {
	ip    netip.Addr
	names []string
}

func sortTrees(t []staticTree) {
	sort.SliceStable(t, func(i, j int) bool { return len(t[i].wire) > len(t[j].wire) })
}

// parseHosts reads lines of an address and its names; what cannot be read is counted.
func parseHosts(data []byte) (out []hostsEntry, bad int) {
	for len(data) > 0 {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		line, _, _ = bytes.Cut(line, []byte("#"))
		f := strings.Fields(string(line))
		if len(f) == 0 {
			continue
		}
		ip, err := netip.ParseAddr(f[0])
		if err != nil || len(f) < 2 {
			bad++
			continue
		}
		h := hostsEntry{ip: ip}
		for _, name := range f[1:] {
			if wire, ok := packName(name); ok && len(wire) > 1 {
				h.names = append(h.names, name)
			} else {
				bad++
			}
		}
		out = append(out, h)
	}
	return out, bad
}

// hostsFiles is the files behind the configured paths: a directory stands for the files in it.
func hostsFiles(paths []string) []string {
	var out []string
	for _, p := range paths {
		list, err := os.ReadDir(p)
		if err != nil {
			out = append(out, p)
			continue
		}
		for _, e := range list {
			if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") && !strings.HasSuffix(e.Name(), "~") {
				out = append(out, filepath.Join(p, e.Name()))
			}
		}
	}
	return out
}

// readHosts reads all hosts files. An error says that one could not be read, and that what is
// known should stay; a missing file is empty.
func (s *Server) readHosts(paths []string) ([]hostsEntry, error) {
	var all []hostsEntry
	for _, name := range hostsFiles(paths) {
		data, err := readCapped(name)
		if errors.Is(err, fs.ErrNotExist) {
			s.log.Debug("hosts file does not exist", "file", name)
			continue
		}
		if err != nil {
			return nil, err
		}
		list, bad := parseHosts(data)
		if bad > 0 {
			s.log.Warn("hosts file has entries that are no address and names, left out", "file", name, "entries", bad)
		}
		all = append(all, list...)
	}
	return all, nil
}
