package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// progress counts what is read through it, and says how much that is on a terminal: nothing
// otherwise. done ends the line.
type progress struct {
	io.Reader
	w    io.Writer // nil: not a terminal
	what string
	n    int64
	last time.Time // when it was said
}

// progress says on standard error, when that is a terminal, how far r has been read.
func (e *env) progress(what string, r io.Reader) *progress {
	p := &progress{Reader: r, what: what, last: time.Now()}
	if isTerminal(e.stderr) {
		p.w = e.stderr
	}
	return p
}

// Read reads on, and says so five times a second at most.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.n += int64(n)
	if p.w != nil && time.Since(p.last) > 200*time.Millisecond {
		p.last = time.Now()
		fmt.Fprintf(p.w, "\r%s: %.1f MB", p.what, float64(p.n)/1e6)
	}
	return n, err
}

// done clears the line.
func (p *progress) done() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\033[K")
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
