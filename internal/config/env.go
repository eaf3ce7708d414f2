package config

import (
	"fmt"
	"reflect"
	"strings"
)

// envPrefix starts every variable that berth reads.
const envPrefix = "BERTH_"

// clientVars are variables of the client commands and of the test suite.
var clientVars = []string{
	"HTTP_ADDR", "HTTP_TOKEN", "HTTP_TOKEN_FILE", "HTTP_AUTH", "HTTP_SSL", "HTTP_SSL_VERIFY", "CACERT", "CAPATH",
	"CLIENT_CERT", "CLIENT_KEY", "TLS_SERVER_NAME", "DNS_ADDR", "LOCAL_CONFIG",
}

// EnvName is the variable that sets the key at a dotted path.
func EnvName(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// fromText says whether a key can be set by environment: no lists or maps of sections.
func fromText(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer:
		return !section(t.Elem())
	case reflect.Slice:
		return t.Elem().Kind() == reflect.String
	case reflect.Map:
		return t.Elem().Kind() == reflect.String || t.Elem() == durationType
	}
	return true
}

// environment reads BERTH_<KEY> for every key, and whole documents from BERTH_LOCAL_CONFIG and
// (as Consul's images have it) CONSUL_LOCAL_CONFIG.
func (l *loader) environment(user *File, environ []string) {
	leaves := map[string]field{}
	names := make([]string, 0, 300)
	for _, f := range leavesOf(reflect.TypeFor[File]()) {
		if fromText(f.typ) {
			leaves[EnvName(f.path)] = f
			names = append(names, EnvName(f.path))
		}
	}
	layer := new(File)
	for _, kv := range environ {
		name, text, _ := strings.Cut(kv, "=")
		if name == envPrefix+"LOCAL_CONFIG" || name == "CONSUL_LOCAL_CONFIG" {
			l.text(user, "environment variable "+name, []byte(text))
			continue
		}
		f, ok := leaves[name]
		if text == "" {
			continue // as compose files leave it when a value is not given
		}
		if !ok {
			l.unknownVar(name, names)
			continue
		}
		if err := setText(reflect.ValueOf(layer).Elem().FieldByIndex(f.index), text, "=:"); err != nil {
			l.problems = append(l.problems, fmt.Sprintf("environment variable %s: %v", name, err))
		}
	}
	put(user, layer, true)
}

func (l *loader) unknownVar(name string, names []string) {
	rest, ok := strings.CutPrefix(name, envPrefix)
	if !ok || strings.HasPrefix(rest, "REQUIRE_") || strings.HasPrefix(rest, "TEST_") {
		return
	}
	for _, v := range clientVars {
		if rest == v {
			return
		}
	}
	hint := ""
	if near := nearest(name, names); near != "" {
		hint = ", did you mean " + near + "?"
	}
	l.warnings = append(l.warnings, fmt.Sprintf("environment variable %s is not known%s", name, hint))
}
