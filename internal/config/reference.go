package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Reference is the part of docs/config.md that is made from the key tables: every key with its
// flag, variable, default, and whether a reload applies it.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	t := reflect.TypeFor[File]()
	defaults := reflect.ValueOf(Defaults()).Elem()
	for i := range t.NumField() {
		group := t.Field(i)
		leaves := leavesOf(group.Type)
		if key := group.Tag.Get("key"); key != "" {
			for j := range leaves {
				leaves[j].path = key + "." + leaves[j].path
			}
		}
		fmt.Fprintf(&b, "\n## %s\n\n", groupTitles[group.Name])
		b.WriteString("| key | flag | variable | default | reload | |\n|---|---|---|---|---|---|\n")
		for _, f := range leaves {
			writeRow(&b, f, defaults.Field(i).FieldByIndex(f.index))
		}
	}
	b.WriteString("\n## Stanzas\n")
	for _, s := range []struct {
		name string
		typ  reflect.Type
	}{{"service", reflect.TypeFor[Service]()}, {"check", reflect.TypeFor[Check]()}} {
		fmt.Fprintf(&b, "\nKeys of a %s:\n\n| key | type | |\n|---|---|---|\n", s.name)
		for _, f := range leavesOf(s.typ) {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.path, typeName(f.typ), cell(f.doc))
		}
	}
	b.WriteString(ignoredReference())
	return b.String()
}

const referenceHead = `# Configuration

An agent takes its settings from, in this order, defaults, ` + "`-dev`" + `, files, environment and flags: later ones win,
lists are appended, maps are merged. Files are YAML; JSON is YAML, so Consul's JSON files load as they are, and may have
` + "`#`" + ` comments. ` + "`-config-file`" + ` names a file, ` + "`-config-dir`" + ` a folder whose *.yaml, *.yml and *.json are read in alphabetical order.

- An unknown key ends the start, with its file, line and the nearest known key. Keys of Consul's service mesh and enterprise
  edition give a warning.
- Durations are Go strings such as ` + "`10s`" + `. Addresses may be go-sockaddr templates such as ` + "`{{ GetInterfaceIP \"eth0\" }}`" + `.
- In variables lists are comma-separated and maps are ` + "`key=value`" + ` pairs. ` + "`BERTH_LOCAL_CONFIG`" + ` (or ` + "`CONSUL_LOCAL_CONFIG`" + `) holds a whole
  document. An empty variable counts as not set.
- Without ` + "`ports.dns`" + ` DNS listens on 8600 of client_addr and, where the process may and the port is free, on 53 of 127.0.0.1, ::1,
  docker0 and the advertise address. With it, on that port of client_addr only. With ` + "`-dev`" + ` on 8600 only.
- ` + "`berth validate FILE...`" + ` checks files. ` + "`reload`" + ` in the tables: a SIGHUP or ` + "`berth reload`" + ` applies a change; the rest needs a restart.

To add a key: a field with its tags in internal/config/file*.go, its default in defaults.go, its place in Config (config*.go) and
build*.go, a rule in validate.go if it has one; then ` + "`berth docs config > docs/config.md`" + `.
`

var groupTitles = map[string]string{
	"NodeKeys": "Node", "ServerKeys": "Server", "AddressKeys": "Addresses and ports", "JoinKeys": "Joining",
	"GossipKeys": "Gossip", "RaftKeys": "Raft", "DNSKeys": "DNS", "HTTPKeys": "HTTP API, limits, TLS, ACL, UI",
	"CheckKeys": "Checks", "DefinitionKeys": "Definitions", "LeaveKeys": "Leaving and reloading",
	"LogKeys": "Log and metrics", "MiscKeys": "Other", "Registrator": "Registrator",
}

func writeRow(b *strings.Builder, f field, def reflect.Value) {
	flagText, env, reload := "", "", ""
	if f.flag != "" {
		flagText = "`-" + f.flag + "`"
	}
	if f.rflag != "" {
		flagText = "`-" + dockerFlag(f.rflag) + "`"
	}
	if fromText(f.typ) {
		env = "`" + EnvName(f.path) + "`"
	}
	if f.reload {
		reload = "yes"
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n", f.path, flagText, env, cell(defaultText(def)), reload, cell(f.text()))
}

// text is the description; that of a key without effect begins with the reason.
func (f *field) text() string {
	if f.inert == "" {
		return f.doc
	}
	return "accepted; " + f.inert + " (" + f.doc + ")"
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// defaultText is a default as the table shows it; "" when there is none.
func defaultText(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return defaultText(v.Elem())
	case reflect.Slice:
		var list []string
		for i := range v.Len() {
			list = append(list, fmt.Sprint(v.Index(i)))
		}
		return strings.Join(list, ", ")
	case reflect.Map:
		var list []string
		for it := v.MapRange(); it.Next(); {
			list = append(list, fmt.Sprintf("%v: %v", it.Key(), defaultText(it.Value())))
		}
		slices.Sort(list)
		return strings.Join(list, ", ")
	}
	switch v.Type() {
	case durationType, secondsType, millisType:
		return shortDuration(time.Duration(v.Int()))
	}
	return fmt.Sprint(v)
}

// shortDuration leaves out zero parts: 5m0s is 5m.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map:
		return "map to " + typeName(t.Elem())
	case reflect.Struct:
		return strings.ToLower(t.Name())
	}
	switch t {
	case durationType, secondsType, millisType:
		return "duration"
	}
	return map[reflect.Kind]string{reflect.Int: "number", reflect.Float64: "number", reflect.Bool: "true or false"}[t.Kind()] +
		map[bool]string{true: "text"}[t.Kind() == reflect.String]
}

func ignoredReference() string {
	var b strings.Builder
	b.WriteString("\n## Accepted and ignored\n\nEach gives one warning.\n\n| key | why |\n|---|---|\n")
	for _, i := range ignored {
		fmt.Fprintf(&b, "| `%s` | %s |\n", i.pattern, i.why)
	}
	return b.String()
}
