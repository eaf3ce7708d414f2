package httpapi

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const unixPrefix = "unix://"

// listenAll binds every address, or none.
func (s *Server) listenAll() error {
	for _, addr := range s.cfg.Addrs {
		if err := s.listen(addr, false); err != nil {
			return errors.Join(err, s.closeListeners())
		}
	}
	for _, addr := range s.cfg.TLSAddrs {
		if err := s.listen(addr, true); err != nil {
			return errors.Join(err, s.closeListeners())
		}
	}
	return nil
}

func (s *Server) closeListeners() error {
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.Close())
	}
	s.listeners = nil
	return errors.Join(errs...)
}

func (s *Server) listen(addr string, secure bool) error {
	var l net.Listener
	var err error
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		l, err = listenUnix(path, s.cfg.UnixSocket)
	} else {
		l, err = listenTCP(addr)
	}
	if err != nil {
		return err
	}
	l = s.limitConns(l, secure)
	if secure {
		l = tls.NewListener(l, s.cfg.TLS)
	}
	s.listeners = append(s.listeners, l)
	return nil
}

func listenTCP(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("http: %s is in use%s: choose another ports.http, or stop that process", addr, holder(addr))
	}
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	return l, nil
}

// listenUnix binds a unix socket; a file left by a process that is gone is replaced.
func listenUnix(path string, o UnixSocket) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("http: %s exists and is not a socket", path)
		}
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
			_ = conn.Close() // only asked whether somebody answers
			return nil, fmt.Errorf("http: %s is in use by a running process", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("http: remove stale socket: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	if err := permit(path, o); err != nil {
		_ = l.Close() // the first error is the one to tell
		return nil, fmt.Errorf("http: unix socket %s: %w", path, err)
	}
	return l, nil
}

// permit sets owner and mode of a socket file.
func permit(path string, o UnixSocket) error {
	uid, gid := -1, -1
	var err error
	if o.User != "" {
		if uid, err = id(o.User, func(name string) (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		}); err != nil {
			return err
		}
	}
	if o.Group != "" {
		if gid, err = id(o.Group, func(name string) (string, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		}); err != nil {
			return err
		}
	}
	if uid != -1 || gid != -1 {
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	if o.Mode == "" {
		return nil
	}
	mode, err := strconv.ParseUint(o.Mode, 8, 32)
	if err != nil || mode > 0o777 {
		return fmt.Errorf("mode %q is not an octal number up to 777", o.Mode)
	}
	return os.Chmod(path, fs.FileMode(mode))
}

// id reads a number, or looks a name up.
func id(s string, lookup func(string) (string, error)) (int, error) {
	if n, err := strconv.Atoi(s); err == nil {
		return n, nil
	}
	found, err := lookup(s)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(found)
}
