package main

import (
	"fmt"
	"io"
	"log/syslog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"berth/internal/config"
	"berth/internal/logs"
)

// openLog opens all places that the log goes to. close ends them.
func openLog(c config.Log, ui io.Writer) (l *logs.Log, closeAll func(), err error) {
	level, err := logs.ParseLevel(c.Level)
	if err != nil {
		return nil, nil, err
	}
	writers, closers := []io.Writer{ui}, []io.Closer{}
	closeAll = func() {
		for _, c := range closers {
			_ = c.Close()
		}
	}
	if c.File != "" {
		f, err := openLogFile(c)
		if err != nil {
			return nil, nil, err
		}
		writers, closers = append(writers, f), append(closers, f)
	}
	if c.Syslog {
		s, err := syslog.New(syslog.LOG_INFO|facility(c.SyslogFacility), "berth")
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("enable_syslog: %w", err)
		}
		writers, closers = append(writers, s), append(closers, s)
	}
	return logs.New(io.MultiWriter(writers...), level, c.JSON), closeAll, nil
}

// facility reads LOCAL0 to LOCAL7, DAEMON and USER; anything else is LOCAL0.
func facility(name string) syslog.Priority {
	switch name = strings.ToUpper(name); {
	case name == "DAEMON":
		return syslog.LOG_DAEMON
	case name == "USER":
		return syslog.LOG_USER
	case len(name) == 6 && strings.HasPrefix(name, "LOCAL") && name[5] >= '0' && name[5] <= '7':
		return syslog.LOG_LOCAL0 + syslog.Priority(name[5]-'0')<<3
	}
	return syslog.LOG_LOCAL0
}

// logFile is a log that starts a new file by size and age, and keeps a number of old ones.
type logFile struct {
	cfg config.Log

	mu     sync.Mutex // guards all below
	f      *os.File
	size   int64
	opened time.Time
}

func openLogFile(c config.Log) (*logFile, error) {
	if st, err := os.Stat(c.File); err == nil && st.IsDir() || strings.HasSuffix(c.File, "/") {
		c.File = filepath.Join(c.File, "berth.log")
	}
	l := &logFile{cfg: c}
	return l, l.open()
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.cfg.File, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("log_file: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("log_file: %w", err)
	}
	l.f, l.size, l.opened = f, st.Size(), time.Now()
	return nil
}

func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.due(len(p)) {
		if err := l.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := l.f.Write(p)
	l.size += int64(n)
	return n, err
}

func (l *logFile) due(more int) bool {
	tooLarge := l.cfg.RotateBytes > 0 && l.size > 0 && l.size+int64(more) > int64(l.cfg.RotateBytes)
	tooOld := l.cfg.RotateDuration > 0 && time.Since(l.opened) > l.cfg.RotateDuration
	return tooLarge || tooOld
}

// rotate moves the file to <name>-<unix ns><ext> and opens a new one.
func (l *logFile) rotate() error {
	_ = l.f.Close()
	base, ext := l.parts()
	if err := os.Rename(l.cfg.File, base+"-"+strconv.FormatInt(time.Now().UnixNano(), 10)+ext); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("log_file: %w", err)
	}
	l.prune()
	return l.open()
}

func (l *logFile) parts() (base, ext string) {
	ext = filepath.Ext(l.cfg.File)
	return strings.TrimSuffix(l.cfg.File, ext), ext
}

// prune removes the oldest files beyond the number to keep: 0 keeps all, below 0 none.
func (l *logFile) prune() {
	if l.cfg.RotateMaxFiles == 0 {
		return
	}
	base, ext := l.parts()
	old, _ := filepath.Glob(base + "-*" + ext)
	slices.Sort(old)
	for len(old) > max(0, l.cfg.RotateMaxFiles) {
		_ = os.Remove(old[0])
		old = old[1:]
	}
}

// Close closes the file.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close()
}
