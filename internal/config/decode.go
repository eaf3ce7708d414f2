package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxDepth bounds nesting, so that no input can exhaust the stack.
const maxDepth = 64

// decoder reads one YAML document into a Go value and collects everything that is wrong.
type decoder struct {
	name     string // file, for messages
	problems []string
	warnings []string
}

// decodeFile reads text, a whole configuration file called name, into a new layer.
func decodeFile(name string, text []byte) (*File, []string, []string) {
	f := new(File)
	d := &decoder{name: name}
	d.document(text, reflect.ValueOf(f).Elem())
	return f, d.problems, d.warnings
}

func (d *decoder) document(text []byte, v reflect.Value) {
	doc, ok := d.onlyDocument(text)
	if !ok {
		return
	}
	if doc.Kind == 0 || len(doc.Content) == 0 {
		return // empty
	}
	n := doc.Content[0]
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, "a configuration file is a mapping of keys to values, this is %s%s", kindName(n), hclHint(text))
		return
	}
	d.section(n, v, "", 0)
}

// onlyDocument parses text. What follows the first document is not dropped in silence: it is two
// files in one, or a brace too many.
func (d *decoder) onlyDocument(text []byte) (doc yaml.Node, ok bool) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return doc, true
	case err != nil:
		d.syntax(text, err)
		return doc, false
	}
	for {
		var more yaml.Node
		switch err := dec.Decode(&more); {
		case errors.Is(err, io.EOF):
			return doc, true
		case err != nil:
			d.syntax(text, err)
			return doc, false
		case len(more.Content) > 0 && more.Content[0].Tag != "!!null":
			d.fail(more.Content[0], "a second document starts here; a configuration file is one")
			return doc, false
		}
	}
}

func (d *decoder) syntax(text []byte, err error) {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	var te *yaml.TypeError
	if errors.As(err, &te) {
		msg = strings.Join(te.Errors, "; ")
	}
	if rest, ok := strings.CutPrefix(msg, "line "); ok {
		if line, what, ok := strings.Cut(rest, ": "); ok {
			d.problems = append(d.problems, fmt.Sprintf("%s:%s: %s%s", d.name, line, what, hclHint(text)))
			return
		}
	}
	d.problems = append(d.problems, fmt.Sprintf("%s: %s%s", d.name, msg, hclHint(text)))
}

// hclHint says what to do when text looks like HCL.
func hclHint(text []byte) string {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || strings.HasPrefix(line, "//") {
			continue
		}
		key, _, ok := strings.Cut(line, "=")
		if key = strings.TrimSpace(key); ok && key != "" && !strings.ContainsAny(key, ":{}\"' ") ||
			strings.HasSuffix(line, " {") && !strings.Contains(line, ":") {
			return " (this looks like HCL: write it as YAML or JSON)"
		}
		return ""
	}
	return ""
}

func (d *decoder) fail(n *yaml.Node, format string, args ...any) {
	d.problems = append(d.problems, fmt.Sprintf("%s:%d: %s", d.name, n.Line, fmt.Sprintf(format, args...)))
}

// section reads a mapping into struct v.
func (d *decoder) section(n *yaml.Node, v reflect.Value, path string, depth int) {
	fields := fieldsOf(v.Type())
	d.pairs(n, path, depth, func(key, value *yaml.Node) {
		full := join(path, key.Value)
		f, ok := find(fields, key.Value)
		if !ok {
			d.unknown(key, full, v.Type(), fields)
			return
		}
		d.value(value, v.FieldByIndex(f.index), join(path, f.key), depth+1)
	})
}

// pairs walks a mapping: merge keys are resolved, a key given twice is a problem.
func (d *decoder) pairs(n *yaml.Node, path string, depth int, f func(key, value *yaml.Node)) {
	if depth > maxDepth {
		d.fail(n, "%s is nested too deeply", path)
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			d.fail(key, "merge keys (<<) are not read: repeat the values")
			continue
		}
		if key.Kind != yaml.ScalarNode {
			d.fail(key, "a key must be a plain word")
			continue
		}
		if line, dup := seen[key.Value]; dup {
			d.fail(key, "%s is given twice, first in line %d", join(path, key.Value), line)
			continue
		}
		seen[key.Value] = key.Line
		f(key, value)
	}
}

// value reads n into v, whatever its kind.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if depth > maxDepth {
		d.fail(n, "%s is nested too deeply", path)
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer && section(t.Elem()):
		p := reflect.New(t.Elem())
		d.value(n, p.Elem(), path, depth+1)
		v.Set(p)
	case t.Kind() == reflect.Struct:
		if n.Kind == yaml.SequenceNode && len(n.Content) == 1 {
			n = n.Content[0] // HCL's JSON writes a section as a list of one
		}
		if n.Kind != yaml.MappingNode {
			d.fail(n, "%s is a section with keys of its own, this is %s", path, kindName(n))
			return
		}
		d.section(n, v, path, depth+1)
	case t.Kind() == reflect.Slice:
		d.list(n, v, path, depth)
	case t.Kind() == reflect.Map:
		d.mapping(n, v, path, depth)
	case t.Kind() == reflect.Interface:
		if x := d.any(n, path, depth); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	case n.Kind != yaml.ScalarNode:
		d.fail(n, "%s is a single value, this is %s", path, kindName(n))
	default:
		if err := setScalar(v, n.Value); err != nil {
			d.fail(n, "%s: %v", path, err)
		}
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string, depth int) {
	elem := v.Type().Elem()
	items := []*yaml.Node{n}
	switch {
	case n.Kind == yaml.SequenceNode:
		items = n.Content
	case n.Kind == yaml.MappingNode && elem.Kind() == reflect.String:
		d.fail(n, "%s is a list, this is %s", path, kindName(n))
		return
	}
	list := reflect.MakeSlice(v.Type(), 0, len(items))
	for i, item := range items {
		e := reflect.New(elem).Elem()
		d.value(item, e, fmt.Sprintf("%s[%d]", path, i), depth+1)
		list = reflect.Append(list, e)
	}
	v.Set(list)
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, "%s is a mapping of keys to values, this is %s", path, kindName(n))
		return
	}
	m := reflect.MakeMap(v.Type())
	d.pairs(n, path, depth, func(key, value *yaml.Node) {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(value, e, join(path, key.Value), depth+1)
		m.SetMapIndex(reflect.ValueOf(key.Value), e)
	})
	v.Set(m)
}

// any reads n as plain Go values, for watches.
func (d *decoder) any(n *yaml.Node, path string, depth int) any {
	if n.Kind == yaml.AliasNode {
		d.fail(n, "%s: aliases are not read here", path)
		return nil
	}
	if depth > maxDepth {
		d.fail(n, "%s is nested too deeply", path)
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		d.pairs(n, path, depth, func(key, value *yaml.Node) {
			m[key.Value] = d.any(value, join(path, key.Value), depth+1)
		})
		return m
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for i, item := range n.Content {
			list = append(list, d.any(item, fmt.Sprintf("%s[%d]", path, i), depth+1))
		}
		return list
	}
	var x any
	if err := n.Decode(&x); err != nil {
		d.fail(n, "%s: %v", path, err)
	}
	return x
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("the value %q", n.Value)
}
