package check

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// DefaultOutputMax is how many bytes of output are kept of a check.
const DefaultOutputMax = 4096

// tail is a writer that keeps the last max bytes. It is for one goroutine.
type tail struct {
	max   int
	buf   []byte // a ring once it is full
	start int    // of the ring
	total int64
}

func newTail(max int) *tail { return &tail{max: max} }

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	t.total += int64(n)
	if len(p) > t.max {
		p = p[len(p)-t.max:]
	}
	if room := t.max - len(t.buf); room > 0 {
		k := min(room, len(p))
		t.buf = append(t.buf, p[:k]...)
		p = p[k:]
	}
	for len(p) > 0 {
		k := copy(t.buf[t.start:], p)
		t.start = (t.start + k) % t.max
		p = p[k:]
	}
	return n, nil
}

// String is what was kept, with a head line when that is not all.
func (t *tail) String() string {
	kept := string(t.buf[t.start:]) + string(t.buf[:t.start])
	kept = strings.ToValidUTF8(kept, "\uFFFD")
	if t.total <= int64(len(t.buf)) {
		return kept
	}
	return fmt.Sprintf("Captured %d of %d bytes\n...\n%s", len(t.buf), t.total, kept)
}

// Truncate cuts output to its first max bytes and says so.
func Truncate(output string, max int) string {
	if max <= 0 || len(output) <= max {
		return output
	}
	cut := max
	for cut > 0 && !utf8.RuneStart(output[cut]) {
		cut--
	}
	return fmt.Sprintf("%s ... (captured %d of %d bytes)", output[:cut], cut, len(output))
}
