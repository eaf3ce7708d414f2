package goldentest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// comparison collects the differences of one answer.
type comparison struct {
	session *session
	diffs   []Difference
}

func (c *comparison) add(where string, want, got any) {
	c.diffs = append(c.diffs, Difference{Where: where, Want: show(want), Got: show(got)})
}

func show(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(s)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

func (c *comparison) status(e *Exchange, r *http.Response) {
	if r.StatusCode != e.Status {
		c.add("status", e.Status, r.StatusCode)
	}
}

// comparedHeaders are those whose presence is compared; the value, too, unless it is an index.
func comparedHeaders() []string {
	return []string{"Allow", "Content-Type", "Vary", "X-Consul-Default-Acl-Policy", "X-Consul-Effective-Consistency", "X-Consul-Index",
		"X-Consul-Knownleader", "X-Consul-Lastcontact", "X-Consul-Query-Backend", "X-Consul-Contenthash", "X-Consul-Reason"}
}

func (c *comparison) headers(e *Exchange, r *http.Response) {
	for _, name := range comparedHeaders() {
		want, recorded := e.Headers[name]
		got := r.Header.Get(name)
		_, present := r.Header[name]
		switch {
		case recorded != present:
			c.add("header."+name, want, got)
		case !recorded:
		case name == "X-Consul-Index":
			if n, err := strconv.ParseUint(got, 10, 64); err != nil || n == 0 {
				c.add("header."+name, want, got)
			}
		case name == "X-Consul-Contenthash" || name == "X-Consul-Lastcontact":
			if got == "" {
				c.add("header."+name, want, got)
			}
		case want != got:
			c.add("header."+name, want, got)
		}
	}
}

func (c *comparison) answer(e *Exchange, body []byte) {
	if e.BodyText != nil {
		c.text(*e.BodyText, string(body), e.Status)
		return
	}
	want, err := tree(e.Body)
	if err != nil {
		c.add("recording", "JSON", err.Error())
		return
	}
	got, err := tree(body)
	if err != nil {
		c.add("body", "JSON", string(body))
		return
	}
	c.compare("body", want, got)
}

// text compares a text; of an error what the server itself says, without the path that it took.
func (c *comparison) text(want, got string, status int) {
	core := want
	if status >= 400 {
		for _, prefix := range []string{"raft apply failed: ", "apply failed: ", "rpc error making call: "} {
			core = strings.TrimPrefix(core, prefix)
		}
		if core != "" && strings.Contains(got, core) {
			return
		}
	}
	if got != core {
		c.add("text", want, got)
	}
}

func tree(raw []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	err = dec.Decode(&v)
	return v, err
}

// inKind are members whose values differ from run to run: only their type is compared.
func inKind() []string {
	return []string{"CreateIndex", "ModifyIndex", "Index", "LTime", "ContentHash", "LastIndex", "LastTerm", "StableSince", "Version", "LastContact",
		"SHA", "BuildDate", "HumanVersion", "consul-version", "version", "build", "Coord", "Error", "Height"}
}

// compare goes down two trees at once.
func (c *comparison) compare(where string, want, got any) {
	name := where[strings.LastIndex(where, ".")+1:]
	if slices.Contains(inKind(), name) && kind(want) == kind(got) && kind(want) != "object" {
		c.remember(name, want, got)
		return
	}
	if kind(want) != kind(got) {
		c.add(where, want, got)
		return
	}
	switch want := want.(type) {
	case map[string]any:
		c.objects(where, want, got.(map[string]any))
	case []any:
		got := got.([]any)
		if unordered(where) {
			want, got = sortedText(want), sortedText(got)
		}
		if len(want) != len(got) {
			c.add(where, want, got)
			return
		}
		for i := range want {
			c.compare(fmt.Sprintf("%s[%d]", where, i), want[i], got[i])
		}
	case string:
		got := got.(string)
		if uuid.MatchString(want) && uuid.MatchString(got) {
			c.session.replace[uuid.FindString(want)] = uuid.FindString(got)
			return
		}
		if want != got {
			c.add(where, want, got)
		}
	case json.Number:
		a, errA := want.Float64()
		b, errB := got.(json.Number).Float64()
		if errA != nil || errB != nil || a != b {
			c.add(where, want, got)
		}
	default:
		if want != got {
			c.add(where, want, got)
		}
	}
}

// tagUnion is where /v1/catalog/services has a service's tags, in an order that means nothing.
var tagUnion = regexp.MustCompile(`^body\.(mysql|web|many)$`)

func unordered(where string) bool { return tagUnion.MatchString(where) }

func sortedText(list []any) []any {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b any) int { return strings.Compare(show(a), show(b)) })
	return list
}

func (c *comparison) objects(where string, want, got map[string]any) {
	for k, v := range want {
		other, ok := got[k]
		if !ok {
			c.add(where+"."+k, v, "(absent)")
			continue
		}
		c.compare(where+"."+k, v, other)
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			c.add(where+"."+k, "(absent)", v)
		}
	}
}

// remember keeps which of the server's indexes stands for a recorded one.
func (c *comparison) remember(name string, want, got any) {
	if name == "ModifyIndex" {
		c.session.replace["index:"+fmt.Sprint(want)] = fmt.Sprint(got)
	}
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}
