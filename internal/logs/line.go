package logs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
)

// lineHandler writes records as Consul's agent does, which tools that read its log expect:
//
//	2024-05-01T10:00:00.123Z [INFO]  agent.dns: message: key=value other="two words"
type lineHandler struct {
	w     io.Writer
	level slog.Leveler
	part  string // of the agent: the attribute "part"
	attrs string // those so far, each after a blank
	group string // prefix of keys
}

// partKey is the attribute that says which part of the agent speaks.
const partKey = "part"

func (h *lineHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	c := *h
	r.Attrs(func(a slog.Attr) bool { c.add(c.group, a); return true })
	name := "agent"
	if c.part != "" {
		name += "." + c.part
	}
	if c.attrs != "" {
		c.attrs = ":" + c.attrs
	}
	_, err := fmt.Fprintf(h.w, "%s %-7s %s: %s%s\n", r.Time.UTC().Format("2006-01-02T15:04:05.000Z"), "["+levelName(r.Level)+"]", name, oneLine(r.Message), c.attrs)
	return err
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	for _, a := range attrs {
		c.add(c.group, a)
	}
	return &c
}

func (h *lineHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.group += name + "."
	return &c
}

func (h *lineHandler) add(group string, a slog.Attr) {
	v := a.Value.Resolve()
	switch {
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, x := range v.Group() {
			h.add(group, x)
		}
	case a.Key == "":
	case group == "" && a.Key == partKey:
		h.part = v.String()
	default:
		h.attrs += " " + group + a.Key + "=" + quoted(v.String())
	}
}

// quoted puts what is more than one plain word in quotes.
func quoted(s string) string {
	plain := func(r rune) bool { return r > ' ' && r != '"' && r != '=' && strconv.IsPrint(r) }
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// oneLine keeps a message from looking like more than one.
func oneLine(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		s = strconv.Quote(s)
		return s[1 : len(s)-1]
	}
	return s
}

func levelName(l slog.Level) string {
	if l <= LevelTrace {
		return "TRACE"
	}
	return l.String()
}
