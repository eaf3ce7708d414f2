package hostdns

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// stateVersion is the format of the record.
const stateVersion = 1

// Phases of an installation.
const (
	phaseApplying  = "applying"  // the process that made the record did not finish
	phaseWaiting   = "waiting"   // for `berth host confirm`
	phaseInstalled = "installed" // done
)

// Record is what uninstall needs to know; it lies in /var/lib/berth/host-dns.json.
type Record struct {
	Format    int       `json:"format_version"`
	Phase     string    `json:"phase"`
	Mode      string    `json:"mode"`
	Address   string    `json:"address"`
	Domain    string    `json:"domain"`
	Installed time.Time `json:"installed"`
	ConfirmBy time.Time `json:"confirm_by,omitzero"`
	Changes   []Change  `json:"changes"`
}

// Change is one thing that install did.
type Change struct {
	// For files: what was there, what was written, and its hash.
	Path     string    `json:"path,omitempty"`
	Before   Entry     `json:"before,omitzero"`
	After    Entry     `json:"after,omitzero"`
	SHA256   string    `json:"sha256,omitempty"`
	Pointers []Pointer `json:"pointers,omitempty"` // the keys changed, of a JSON file

	// For programs: what was run and what takes it back, after all files are back.
	Do    []string `json:"do,omitempty"`
	Stdin string   `json:"stdin,omitempty"`
	Undo  []string `json:"undo,omitempty"`

	Lenient bool `json:"lenient,omitempty"` // a failure of Do is only reported
}

// Pointer is one value of a JSON file that was changed.
type Pointer struct {
	Pointer string          `json:"pointer"`
	Before  json.RawMessage `json:"before,omitempty"` // none: it was not there
	After   json.RawMessage `json:"after"`
}

// loadRecord reads the record; ErrNotInstalled when there is none.
func (h *Host) loadRecord() (*Record, error) { return readRecord(h.path(stateFile)) }

func readRecord(path string) (*Record, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotInstalled
	}
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	r := new(Record)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("read record %s: %w; it holds the original files as base64 under changes[].before.data", path, err)
	}
	if r.Format != stateVersion {
		return nil, fmt.Errorf("record %s has format %d, this berth knows %d: use the berth that wrote it", path, r.Format, stateVersion)
	}
	return r, nil
}

// save writes the record atomically.
func (h *Host) save(r *Record) error {
	r.Format = stateVersion
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	path := h.path(stateFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	mode := fs.FileMode(0o644)
	for _, c := range r.Changes { // no copy is easier to read than what it is a copy of
		if c.Before.Kind == plain {
			mode &= c.Before.Mode | 0o600
		}
	}
	e := Entry{Kind: plain, Data: append(data, '\n'), Mode: mode}
	e.UID, e.GID = os.Geteuid(), os.Getegid()
	if err := e.put(path); err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	return nil
}

// forget removes the record and the saved upstreams.
func (h *Host) forget() error {
	err := os.Remove(h.path(stateFile))
	if uerr := os.Remove(h.path(upstreamsFile)); err == nil && !errors.Is(uerr, fs.ErrNotExist) {
		err = uerr
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// UpstreamsFile is the file from which the agent should read its upstreams when configured is
// what its configuration says: while berth is the host's resolver, /etc/resolv.conf only names
// berth itself, and the upstreams stand in a file that install saved.
func UpstreamsFile(configured string) string { return upstreamsBelow("", configured) }

func upstreamsBelow(root, configured string) string {
	if configured != resolvConf {
		return configured
	}
	h := &Host{Root: root}
	if _, err := os.Stat(h.path(upstreamsFile)); err == nil {
		return h.path(upstreamsFile)
	}
	return configured
}

// addr is berth's address.
func (r *Record) addr() netip.Addr {
	ap, _ := netip.ParseAddrPort(r.Address)
	return ap.Addr()
}
