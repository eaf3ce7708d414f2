package registrator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"text/template"
	tree "text/template/parse"
	"time"
)

const (
	templateBytes   = 64 << 10
	templateTimeout = 10 * time.Second
)

// tagTemplate is the -tags setting: a plain list, or a template run on the engine's inspect
// object of each container.
type tagTemplate struct {
	text string
	t    *template.Template
}

// newTagTemplate parses text; plain text needs no template.
func newTagTemplate(text string, allowHTTP bool) (*tagTemplate, error) {
	if !strings.Contains(text, "{{") {
		return &tagTemplate{text: text}, nil
	}
	t, err := template.New("tags").Funcs(templateFuncs(allowHTTP)).Parse(text)
	if err != nil {
		return nil, err
	}
	return &tagTemplate{text: text, t: t}, nil
}

func (t *tagTemplate) active() bool { return t != nil && t.text != "" }

func (t *tagTemplate) run(dot any) (string, error) {
	if t.t == nil {
		return t.text, nil
	}
	return execTemplate(t.t, dot)
}

// runTagTemplate runs a container's own tags as a template of pure functions, without loops and
// without templates that call one another: it has to end soon.
func runTagTemplate(text string, dot any) (string, error) {
	t, err := newTagTemplate(text, false)
	if err != nil {
		return "", err
	}
	if t.t != nil {
		for _, x := range t.t.Templates() {
			if x.Tree == nil || x.Name() != t.t.Name() || !endsSoon(x.Root) {
				return "", errors.New("templates of containers may not use range, define, block or template")
			}
		}
	}
	return t.run(dot)
}

// endsSoon reports whether nothing below n repeats.
func endsSoon(n tree.Node) bool {
	switch n := n.(type) {
	case *tree.ListNode:
		if n == nil {
			return true
		}
		for _, x := range n.Nodes {
			if !endsSoon(x) {
				return false
			}
		}
	case *tree.IfNode:
		return endsSoon(n.List) && endsSoon(n.ElseList)
	case *tree.WithNode:
		return endsSoon(n.List) && endsSoon(n.ElseList)
	case *tree.RangeNode, *tree.TemplateNode:
		return false
	}
	return true
}

func execTemplate(t *template.Template, dot any) (out string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("template: %v", p)
		}
	}()
	w := &limitedBuffer{left: templateBytes}
	if err := t.Execute(w, dot); err != nil {
		return "", err
	}
	return w.buf.String(), nil
}

// limitedBuffer fails when a template writes too much.
type limitedBuffer struct {
	buf  bytes.Buffer
	left int
}

func (w *limitedBuffer) Write(p []byte) (int, error) {
	if len(p) > w.left {
		return 0, errors.New("the template's output is longer than 64 KiB")
	}
	w.left -= len(p)
	return w.buf.Write(p)
}

// templateFuncs are the functions that gliderlabs/registrator's templates had.
func templateFuncs(allowHTTP bool) template.FuncMap {
	return template.FuncMap{
		"strSlice": strSlice,
		"sIndex": func(i int, s []string) string {
			if len(s) == 0 {
				return ""
			}
			return s[clampIndex(i, len(s)-1)]
		},
		"mIndex":  func(k string, m map[string]string) string { return m[k] },
		"toUpper": strings.ToUpper,
		"toLower": strings.ToLower,
		"replace": replaceLimited,
		"join": func(sep string, s []string) (string, error) {
			n := len(sep) * len(s)
			for _, x := range s {
				n += len(x)
			}
			if n > templateBytes {
				return "", errTooLong
			}
			return strings.Join(s, sep), nil
		},
		"split": func(sep, s string) []string { return strings.Split(s, sep) },
		"splitIndex": func(i int, sep, s string) string {
			parts := strings.Split(s, sep)
			return parts[clampIndex(i, len(parts)-1)]
		},
		"matchFirstElement": matchFirst,
		"matchAllElements":  matchAll,
		"httpGet":           httpGet(allowHTTP),
		"jsonParse":         jsonParse,
	}
}

var errTooLong = errors.New("the text is longer than 64 KiB")

// replaceLimited is strings.Replace that does not let a text grow without bounds.
func replaceLimited(n int, old, repl, s string) (string, error) {
	found := strings.Count(s, old)
	if n >= 0 {
		found = min(found, n)
	}
	if len(s)+found*len(repl) > templateBytes {
		return "", errTooLong
	}
	return strings.Replace(s, old, repl, n), nil
}

// clampIndex counts a negative index from the end and keeps it within 0..last.
func clampIndex(i, last int) int {
	if i < 0 {
		i += last + 1
	}
	return min(max(i, 0), max(last, 0))
}

// strSlice is strSlice s a [b].
func strSlice(s string, bounds ...int) (string, error) {
	switch len(bounds) {
	case 1:
		return s[clampBound(bounds[0], len(s)):], nil
	case 2:
		a, b := clampBound(bounds[0], len(s)), clampBound(bounds[1], len(s))
		if b < a {
			return "", nil
		}
		return s[a:b], nil
	}
	return "", errors.New("strSlice: want a string and one or two positions")
}

func clampBound(i, n int) int {
	if i < 0 {
		i += n
	}
	return min(max(i, 0), n)
}

func matchFirst(expr string, list []string) (string, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return "", err
	}
	for _, s := range list {
		if re.MatchString(s) {
			return s, nil
		}
	}
	return "", nil
}

func matchAll(expr string, list []string) ([]string, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range list {
		if re.MatchString(s) {
			out = append(out, s)
		}
	}
	return out, nil
}

// httpGet fetches url; empty on any error, and unless the operator allows it.
func httpGet(allowed bool) func(string) []byte {
	return func(url string) []byte {
		if !allowed {
			return nil
		}
		c := http.Client{Timeout: templateTimeout}
		resp, err := c.Get(url) //nolint:noctx // the client's timeout bounds it
		if err != nil {
			return nil
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, templateBytes))
		if err != nil {
			return nil
		}
		return body
	}
}

// jsonParse walks into a JSON document along keys separated by "::".
func jsonParse(doc []byte, path string) string {
	var v any
	if json.Unmarshal(doc, &v) != nil {
		return ""
	}
	for _, key := range strings.Split(path, "::") {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[key]
	}
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}
