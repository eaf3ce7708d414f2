package httpapi

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// maxParams bounds the parameters of a request, as net/url does.
const maxParams = 10000

var (
	errManyParams = fmt.Errorf("Invalid query string: it has more than %d parameters", maxParams)                      //nolint:staticcheck // like its siblings
	errSemicolon  = errors.New("Invalid query string: parameters are separated by &; write a semicolon in one as %3B") //nolint:staticcheck // like its siblings
)

// form holds a request's query parameters in their order. There are few, so a list costs less
// than the map of url.Values.
type form []param

type param struct{ name, value string }

// parse appends the parameters of a query string to f, by the rules of url.ParseQuery.
func (f form) parse(query string) (form, error) {
	switch {
	case strings.Count(query, "&") >= maxParams:
		return nil, errManyParams
	case strings.Contains(query, ";"):
		return nil, errSemicolon
	}
	for query != "" {
		var part string
		if part, query, _ = strings.Cut(query, "&"); part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		var err error
		if name, err = url.QueryUnescape(name); err != nil {
			return nil, fmt.Errorf("Invalid query string: %w", err) //nolint:staticcheck // like its siblings
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return nil, fmt.Errorf("Invalid query string: %w", err) //nolint:staticcheck // like its siblings
		}
		f = append(f, param{name, value})
	}
	return f, nil
}

// Has tells whether a parameter is present, with or without a value.
func (f form) Has(name string) bool {
	for i := range f {
		if f[i].name == name {
			return true
		}
	}
	return false
}

// Get gives a parameter's first value; "" when there is none.
func (f form) Get(name string) string {
	for i := range f {
		if f[i].name == name {
			return f[i].value
		}
	}
	return ""
}

// All gives all values of a parameter.
func (f form) All(name string) (values []string) {
	for i := range f {
		if f[i].name == name {
			values = append(values, f[i].value)
		}
	}
	return values
}

// Encode gives the query string, with the names in order.
func (f form) Encode() string {
	v := make(url.Values, len(f))
	for _, p := range f {
		v.Add(p.name, p.value)
	}
	return v.Encode()
}

// with is f with a single value of a parameter.
func (f form) with(name, value string) form {
	out := form{{name, value}}
	for _, p := range f {
		if p.name != name {
			out = append(out, p)
		}
	}
	return out
}
