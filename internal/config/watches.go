package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// watchParams are the parameters that each type of watch takes; * marks required ones.
var watchParams = map[string][]string{
	"key":       {"*key"},
	"keyprefix": {"*prefix"},
	"services":  {"filter"},
	"nodes":     {"filter"},
	"service":   {"*service", "tag", "passingonly", "filter"},
	"checks":    {"service", "state", "filter"},
	"event":     {"name"},
}

// ParseWatch reads one entry of watches, and what the flags of `berth watch` say.
func ParseWatch(m map[string]any) (Watch, error) {
	w := Watch{Params: map[string]any{}, Timeout: defaultCommandTimeout}
	rest := maps.Clone(m)
	take := func(key string) (any, bool) {
		for k, v := range rest {
			if plain(k) == plain(key) {
				delete(rest, k)
				return v, true
			}
		}
		return nil, false
	}
	if v, ok := take("type"); ok {
		w.Type = fmt.Sprint(v)
	}
	params, ok := watchParams[w.Type]
	if !ok {
		return w, fmt.Errorf("type %q: use %s", w.Type, strings.Join(slices.Sorted(maps.Keys(watchParams)), ", "))
	}
	for _, p := range append([]string{"datacenter", "token", "stale"}, params...) {
		name := strings.TrimPrefix(p, "*")
		v, ok := take(name)
		if !ok && name != p {
			return w, fmt.Errorf("a watch of type %s needs %s", w.Type, name)
		}
		if ok {
			w.Params[name] = v
		}
	}
	if w.Type == "checks" && w.Params["service"] != nil && w.Params["state"] != nil {
		return w, fmt.Errorf("service and state exclude each other")
	}
	if err := w.handler(take); err != nil {
		return w, err
	}
	for _, k := range slices.Sorted(maps.Keys(rest)) {
		return w, fmt.Errorf("invalid config key %s in a watch of type %s", k, w.Type)
	}
	return w, nil
}

// handler reads what shall be run: args, the older handler, or handler_type http.
func (w *Watch) handler(take func(string) (any, bool)) error {
	kind := "script"
	if v, ok := take("handler_type"); ok {
		kind = fmt.Sprint(v)
	}
	if v, ok := take("args"); ok {
		list, ok := v.([]any)
		if !ok {
			return fmt.Errorf("args is a list: the command and its arguments")
		}
		for _, a := range list {
			w.Args = append(w.Args, fmt.Sprint(a))
		}
	}
	if v, ok := take("handler"); ok && len(w.Args) == 0 {
		w.Args = []string{"/bin/sh", "-c", fmt.Sprint(v)}
	}
	httpConfig, hasHTTP := take("http_handler_config")
	switch {
	case kind == "script" && len(w.Args) == 0:
		return fmt.Errorf("args is missing: the command to run")
	case kind == "script":
		return nil
	case kind != "http":
		return fmt.Errorf("handler_type %q: use script or http", kind)
	}
	m, ok := httpConfig.(map[string]any)
	if !hasHTTP || !ok {
		return fmt.Errorf("http_handler_config is missing: a mapping with path")
	}
	w.Args = nil
	return w.httpHandler(m)
}

func (w *Watch) httpHandler(m map[string]any) error {
	w.HTTP.Method, w.Timeout = "POST", defaultPostTimeout
	for k, v := range m {
		switch plain(k) {
		case "path":
			w.HTTP.URL = fmt.Sprint(v)
		case "method":
			w.HTTP.Method = fmt.Sprint(v)
		case "timeout":
			d, err := time.ParseDuration(fmt.Sprint(v))
			if err != nil || d <= 0 {
				return fmt.Errorf("http_handler_config.timeout: %q is not a duration such as \"10s\"", fmt.Sprint(v))
			}
			w.Timeout = d
		case "tlsskipverify":
			w.HTTP.TLSSkipVerify, _ = v.(bool)
		case "header":
			w.HTTP.Header = headers(v)
		default:
			return fmt.Errorf("invalid config key http_handler_config.%s", k)
		}
	}
	if w.HTTP.URL == "" {
		return fmt.Errorf("http_handler_config.path is missing: the URL to post to")
	}
	return nil
}

func headers(v any) map[string][]string {
	m, _ := v.(map[string]any)
	h := make(map[string][]string, len(m))
	for k, v := range m {
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, x := range list {
			h[k] = append(h[k], fmt.Sprint(x))
		}
	}
	return h
}
