package registrator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"berth"
	"berth/internal/backoff"
)

const (
	ownedFile    = "docker.json"
	ownedLock    = "docker.lock"
	ownedVersion = 1
	saveEvery    = time.Second
	bootIDFile   = "/proc/sys/kernel/random/boot_id"
)

// owned is docker.json: what this agent had registered, on which boot of the host and for
// which engine.
type owned struct {
	Version    int
	BootID     string
	Engine     string
	Node       string
	Containers map[string]ownedContainer
}

type ownedContainer struct {
	Name     string
	Services []berth.ServiceDefinition
}

// lockDir makes sure that one agent at a time uses dir.
func lockDir(dir string) (unlock func(), err error) {
	if dir == "" {
		return func() {}, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, ownedLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another agent watches Docker with data directory %s: stop it, or give this one its own", dir)
	}
	return func() { f.Close() }, nil
}

// loadOwned brings back what was registered before a restart of the agent, and hands it over at
// once so that nothing is taken out only because nothing is known yet. After a reboot of the
// host no container survived: then an empty set is handed over.
func (r *Registrator) loadOwned() {
	r.mu.Lock()
	r.state.nodeAddr, r.state.nodeAddr6 = r.nodeAddresses()
	if !r.routable(r.state.nodeAddr) && !r.routable(r.state.nodeAddr6) {
		r.log.Warn("the node's address is of no use to other hosts, published ports are not registered",
			"address", r.state.nodeAddr, "remedy", "set the advertise address")
	}
	r.mu.Unlock()
	if r.cfg.DataDir == "" {
		return
	}
	path := filepath.Join(r.cfg.DataDir, ownedFile)
	f, err := readOwned(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return
	case err != nil:
		r.log.Warn("the memory of registered containers cannot be read, starting without it", "file", path, "err", err)
		f = owned{}
	case f.BootID != bootID():
		r.log.Info("the host was restarted, entries of its former containers are taken out", "containers", len(f.Containers))
		f.Containers = nil
	case f.Node != r.cfg.Node:
		r.log.Info("the node has another name now, its entries are written anew", "before", f.Node)
		return // under the old name they stay until the first pass is complete
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.state
	s.engineID = f.Engine
	s.loaded, s.changed = true, true
	for id, c := range f.Containers {
		rec := s.record(id)
		rec.name, rec.defs, rec.stored = c.Name, c.Services, true
	}
}

func readOwned(path string) (owned, error) {
	var f owned
	b, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return owned{}, err
	}
	if f.Version != ownedVersion {
		return owned{}, fmt.Errorf("format version %d is not known", f.Version)
	}
	return f, nil
}

// bootID names this boot of the host; "" where the kernel does not tell.
func bootID() string {
	b, err := os.ReadFile(bootIDFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// engine is the engine that the record's entries came from.
func (rec *record) engine() string {
	if len(rec.defs) == 0 {
		return ""
	}
	return rec.defs[0].Meta[berth.MetaEngine]
}

// saveOwned asks for the file to be written.
func (r *Registrator) saveOwned() {
	select {
	case r.save <- struct{}{}:
	default:
	}
}

// saveLoop writes the file after changes, at most once a second, and once more at the end.
func (r *Registrator) saveLoop(ctx context.Context) error {
	if r.cfg.DataDir == "" {
		return nil
	}
	dirty := false
	for {
		select {
		case <-ctx.Done():
			select {
			case <-r.save:
				dirty = true
			default:
			}
			if dirty {
				r.writeOwned()
			}
			return nil
		case <-r.save:
			dirty = true
		}
		if backoff.Sleep(ctx, saveEvery) == nil {
			r.writeOwned()
			dirty = false
		}
	}
}

func (r *Registrator) writeOwned() {
	f := owned{Version: ownedVersion, BootID: bootID(), Node: r.cfg.Node, Containers: map[string]ownedContainer{}}
	r.mu.Lock()
	f.Engine = r.state.engineID
	for id, rec := range r.state.records {
		if len(rec.defs) > 0 {
			f.Containers[id] = ownedContainer{rec.name, rec.defs}
		}
	}
	r.mu.Unlock()
	b, err := json.Marshal(f)
	if err == nil {
		err = replaceFile(filepath.Join(r.cfg.DataDir, ownedFile), b)
	}
	if err != nil && !r.saveFailed.Swap(true) {
		r.log.Warn("writing the memory of registered containers failed, going on without", "err", err)
	} else if err == nil {
		r.saveFailed.Store(false)
	}
}

// replaceFile writes path so that a crash leaves the old or the new content.
func replaceFile(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone already when all went well
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// dialUnix tells why a socket cannot be used; nil when it can.
func dialUnix(path string) error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		return &os.PathError{Op: "connect", Path: path, Err: err}
	}
	return nil
}
