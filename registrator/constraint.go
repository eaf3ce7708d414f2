package registrator

import (
	"fmt"
	"path"
	"strings"
)

// constraint decides which containers are seen. Its language:
//
//	expr := and { "||" and } ; and := not { "&&" not } ; not := "!" not | "(" expr ")" | term
//	term := subject ( "=" | "!=" | "~" ) value | label(key)
//	subject := label(key) | image | name
//
// "~" matches a glob; a bare label(key) asks whether the label is there. Values end at a blank
// or operator unless quoted by ' " or `.
type constraint struct {
	eval func(*inspected) bool
}

// match reports whether c is seen; no constraint sees all.
func (c *constraint) match(in *inspected) bool { return c == nil || c.eval(in) }

func parseConstraint(s string) (*constraint, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	p := &constraintParser{rest: s}
	eval, err := p.or(0)
	if err != nil {
		return nil, fmt.Errorf("%w at %q", err, cut(p.rest, 40))
	}
	if p.space(); p.rest != "" {
		return nil, fmt.Errorf("unexpected text at %q", cut(p.rest, 40))
	}
	return &constraint{eval}, nil
}

type constraintParser struct{ rest string }

type predicate = func(*inspected) bool

const constraintDepth = 100

func (p *constraintParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\n") }

func (p *constraintParser) eat(tok string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, tok)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *constraintParser) or(depth int) (predicate, error) {
	left, err := p.and(depth)
	for err == nil && p.eat("||") {
		var right predicate
		a := left
		if right, err = p.and(depth); err == nil {
			left = func(c *inspected) bool { return a(c) || right(c) }
		}
	}
	return left, err
}

func (p *constraintParser) and(depth int) (predicate, error) {
	left, err := p.not(depth)
	for err == nil && p.eat("&&") {
		var right predicate
		a := left
		if right, err = p.not(depth); err == nil {
			left = func(c *inspected) bool { return a(c) && right(c) }
		}
	}
	return left, err
}

func (p *constraintParser) not(depth int) (predicate, error) {
	if depth > constraintDepth {
		return nil, fmt.Errorf("nested too deeply")
	}
	if p.eat("!") {
		x, err := p.not(depth + 1)
		if err != nil {
			return nil, err
		}
		return func(c *inspected) bool { return !x(c) }, nil
	}
	if p.eat("(") {
		x, err := p.or(depth + 1)
		if err == nil && !p.eat(")") {
			err = fmt.Errorf("missing )")
		}
		return x, err
	}
	return p.term()
}

func (p *constraintParser) term() (predicate, error) {
	p.space()
	var subject func(*inspected) (string, bool)
	label := false
	switch {
	case p.eat("label("):
		key, rest, ok := strings.Cut(p.rest, ")")
		if !ok {
			return nil, fmt.Errorf("missing ) after label(")
		}
		p.rest, label = rest, true
		key = strings.Trim(strings.TrimSpace(key), "'\"`")
		subject = func(c *inspected) (string, bool) { v, ok := c.labels[key]; return v, ok }
	case p.eat("image"):
		subject = func(c *inspected) (string, bool) { return c.image, true }
	case p.eat("name"):
		subject = func(c *inspected) (string, bool) { return c.name, true }
	default:
		return nil, fmt.Errorf("want label(key), image or name")
	}
	for _, op := range []string{"!=", "==", "=", "~"} {
		if p.eat(op) {
			return p.compare(subject, op)
		}
	}
	if !label {
		return nil, fmt.Errorf("want =, != or ~")
	}
	return func(c *inspected) bool { _, ok := subject(c); return ok }, nil
}

func (p *constraintParser) compare(subject func(*inspected) (string, bool), op string) (predicate, error) {
	want, err := p.value()
	if err != nil {
		return nil, err
	}
	switch op {
	case "!=":
		return func(c *inspected) bool { v, _ := subject(c); return v != want }, nil
	case "~":
		if _, err := path.Match(want, ""); err != nil {
			return nil, fmt.Errorf("pattern %q: %w", want, err)
		}
		return func(c *inspected) bool { v, ok := subject(c); return ok && glob(want, v) }, nil
	}
	return func(c *inspected) bool { v, ok := subject(c); return ok && v == want }, nil
}

// glob matches as path.Match does, except that * passes slashes, which images are full of.
func glob(pattern, s string) bool {
	const slash = "\x01"
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", slash), strings.ReplaceAll(s, "/", slash))
	return err == nil && ok
}

func (p *constraintParser) value() (string, error) {
	p.space()
	if p.rest == "" {
		return "", nil
	}
	if q := p.rest[0]; q == '\'' || q == '"' || q == '`' {
		v, rest, ok := strings.Cut(p.rest[1:], string(q))
		if !ok {
			return "", fmt.Errorf("a quote is not closed")
		}
		p.rest = rest
		return v, nil
	}
	end := strings.IndexAny(p.rest, " \t\n()&|!")
	if end < 0 {
		end = len(p.rest)
	}
	v := p.rest[:end]
	p.rest = p.rest[end:]
	return v, nil
}
