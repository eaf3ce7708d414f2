package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// dataDir is a locked data directory; the zero value is memory only.
type dataDir struct {
	path string
	lock *os.File
}

// lockWait is how long a data directory may still be in use at a start.
const lockWait = 2 * time.Second

// openDataDir makes the directory, checks that it can be written, and locks it against a
// second agent, for whose end it waits up to lockWait.
func openDataDir(path string) (dataDir, error) {
	if path == "" {
		return dataDir{}, nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return dataDir{}, fmt.Errorf("data directory %s cannot be made: %w", path, err)
	}
	name := filepath.Join(path, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return dataDir{}, fmt.Errorf("data directory %s cannot be written by this user (uid %d): %w", path, os.Getuid(), err)
	}
	if err := lockSoon(f); err != nil {
		holder := make([]byte, 32)
		n, _ := f.Read(holder)
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return dataDir{}, fmt.Errorf("data directory %s is in use by another agent (pid %s): give each agent its own data_dir", path, strings.TrimSpace(string(holder[:n])))
		}
		return dataDir{}, fmt.Errorf("lock data directory %s: %w", path, err)
	}
	d := dataDir{path: path, lock: f}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(fmt.Sprintln(os.Getpid())), 0)
		if err != nil {
			d.close()
			return dataDir{}, fmt.Errorf("data directory %s cannot be written: %w", path, err)
		}
	}
	return d, nil
}

// lockSoon locks f; it gives an agent that is about to end time for that, so that a start may
// follow a stop or a leave at once.
func lockSoon(f *os.File) (err error) {
	for end := time.Now().Add(lockWait); ; time.Sleep(20 * time.Millisecond) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			return err
		}
	}
}

// join is a path below the directory, or "" in memory.
func (d dataDir) join(elem ...string) string {
	if d.path == "" {
		return ""
	}
	return filepath.Join(append([]string{d.path}, elem...)...)
}

func (d dataDir) close() {
	if d.lock != nil {
		d.lock.Close()
	}
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// nodeID is the configured ID, else the one kept in the directory, else a new one.
func (d dataDir) nodeID(configured string) (string, error) {
	file := d.join("node-id")
	if configured != "" {
		id := strings.ToLower(configured)
		if !uuid.MatchString(id) {
			return "", fmt.Errorf("node ID %q is not a UUID", configured)
		}
		return id, d.keepID(file, id)
	}
	if file != "" {
		b, err := os.ReadFile(file)
		if err == nil {
			id := strings.ToLower(strings.TrimSpace(string(b)))
			if !uuid.MatchString(id) {
				return "", fmt.Errorf("%s does not hold a UUID: remove the file to get a new node ID", file)
			}
			return id, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("read node ID: %w", err)
		}
	}
	id := newUUID()
	return id, d.keepID(file, id)
}

func (d dataDir) keepID(file, id string) error {
	if file == "" {
		return nil
	}
	return writeFile(file, []byte(id+"\n"), 0o644)
}

// newUUID makes a random (version 4) UUID.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// writeFile replaces a file so that after a crash it holds the old or the new content whole.
func writeFile(name string, content []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".tmp*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(tmp.Name()) // gone already after the rename
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err == nil {
		err = syncDir(filepath.Dir(name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
