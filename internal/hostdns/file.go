package hostdns

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Kinds of entries.
const (
	absent  = "absent"
	plain   = "file"
	symlink = "symlink"
)

// Entry is what lies at a path: a plain file, a symbolic link, or nothing.
type Entry struct {
	Kind   string      `json:"kind"`
	Target string      `json:"target,omitempty"` // of a symbolic link
	Data   []byte      `json:"data,omitempty"`   // of a plain file
	Mode   fs.FileMode `json:"mode,omitempty"`
	UID    int         `json:"uid"`
	GID    int         `json:"gid"`
}

// readEntry takes a picture of what lies at path.
func readEntry(path string) (Entry, error) {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{Kind: absent}, nil
	}
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Kind: plain, Mode: st.Mode().Perm()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		e.UID, e.GID = int(sys.Uid), int(sys.Gid)
	}
	switch {
	case st.Mode()&fs.ModeSymlink != 0:
		e.Kind = symlink
		e.Target, err = os.Readlink(path)
	case st.Mode().IsRegular():
		if st.Size() > maxEntry {
			return Entry{}, fmt.Errorf("%s has %d bytes, more than any such file needs", path, st.Size())
		}
		e.Data, err = os.ReadFile(path)
	default:
		return Entry{}, fmt.Errorf("%s is neither a file nor a symbolic link", path)
	}
	return e, err
}

// maxEntry is the largest file that is taken care of.
const maxEntry = 1 << 20

// same tells whether e and other read the same.
func (e Entry) same(other Entry) bool {
	return e.Kind == other.Kind && e.Target == other.Target && bytes.Equal(e.Data, other.Data)
}

// put makes path be e: by rename, or in place where the path is a mount point.
func (e Entry) put(path string) error {
	switch e.Kind {
	case absent:
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return explain(path, err)
	case symlink:
		tmp := tempName(path)
		if err := os.Symlink(e.Target, tmp); err != nil {
			return explain(path, err)
		}
		if err := os.Rename(tmp, path); err != nil {
			os.Remove(tmp)
			return explain(path, err)
		}
		return syncDir(filepath.Dir(path))
	}
	err := e.replace(path)
	if mounted(err) {
		err = e.overwrite(path)
	}
	return explain(path, err)
}

// mounted tells whether a rename failed because the path, or its directory, is a mount of its own.
func mounted(err error) bool {
	return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EROFS)
}

func tempName(path string) string {
	return filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.berth-%d", filepath.Base(path), os.Getpid()))
}

// replace writes a new file beside path and renames it over.
func (e Entry) replace(path string) error {
	tmp := tempName(path)
	os.Remove(tmp)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, e.Mode)
	if err != nil {
		return err
	}
	_, err = f.Write(e.Data)
	if cerr := f.Chmod(e.Mode); err == nil {
		err = cerr
	}
	if os.Geteuid() == 0 {
		if cerr := f.Chown(e.UID, e.GID); err == nil {
			err = cerr
		}
	}
	copyLabel(path, f)
	if serr := f.Sync(); err == nil {
		err = serr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// copyLabel gives f the SELinux label of the file that it replaces, where there is one.
func copyLabel(path string, f *os.File) {
	const name = "security.selinux"
	var buf [256]byte
	if n, err := unix.Lgetxattr(path, name, buf[:]); err == nil {
		_ = unix.Fsetxattr(int(f.Fd()), name, buf[:n], 0)
	}
}

// overwrite writes into the file that is there.
func (e Entry) overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(e.Data)
	if serr := f.Sync(); err == nil {
		err = serr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// explain adds what to do about an error of writing.
func explain(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: the file system is read-only; remount it, or use --mode print and do it by hand", err)
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w: the file may be immutable; see lsattr %s", err, path)
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("%w: %s is mounted from elsewhere; change it there", err, path)
	}
	return err
}

// checkWritable finds out, without changing anything, whether path could be written.
func checkWritable(path string) error {
	dir := filepath.Dir(path)
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == "/" || dir == "." {
			break
		}
		dir = filepath.Dir(dir)
	}
	err := unix.Access(dir, unix.W_OK)
	if err == nil {
		return nil
	}
	if unix.Access(path, unix.W_OK) == nil {
		return nil // written in place
	}
	return explain(path, fmt.Errorf("cannot write %s: %w", path, err))
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
