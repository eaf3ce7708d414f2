package registrator

import (
	"fmt"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Limits on what one container may say.
const (
	maxKeys       = 256
	maxValueBytes = 4 << 10
	maxKeysBytes  = 64 << 10
)

func badValue(v, want string) error { return fmt.Errorf("%q: %s", cut(v, 80), want) }

// setting is one label or variable.
type setting struct {
	scope scope
	name  string // as written
	field string // lower-case
	value string
	label bool
	noted bool // dropped, and said so

	secret bool // a variable that looks like one
}

func (s *setting) from() string {
	if s.label {
		return "label " + s.name
	}
	return "env " + s.name
}

// settings are all keys of a container, by field, the most specific first. Of equally specific
// ones the label comes before the variable.
type settings struct {
	byField map[string][]setting
	fields  []string // sorted
	dropped []string
	remarks map[string]bool // those of dropped that remark made
}

// control words: true when gliderlabs/registrator had them. The others are honoured as labels;
// as variables only natively and when the value parses, since programs own such names.
var controlWords = map[string]bool{
	"name": true, "id": true, "tags": true, "ignore": true,
	"ip": false, "address": false, "port": false, "ports": false, "portless": false, "force_register": false,
	"address_mode": false, "internal": false, "network": false, "address_family": false, "enable_tag_override": false,
	"weight": false, "weight_warning": false, "ttl": false, "drain": false, "deregister": false, "deregister_on_stop": false,
}

// labelOnly words stay plain attributes as variables, whatever their value.
var labelOnly = map[string]bool{"port": true, "ports": true}

// readSettings collects the keys of c.
func readSettings(c *inspected, compat bool) *settings {
	s := &settings{byField: map[string][]setting{}}
	parse := parseKey
	if compat {
		parse = parseKeyCompat
	}
	count, total := 0, 0
	add := func(name, value string, label bool) {
		sc, field, ok := parse(name)
		if !ok || sc.lo < 0 {
			return
		}
		st := setting{scope: sc, name: name, field: field, value: value, label: label}
		if text, bad := badPort(name); bad && label && !compat {
			s.drop(&st, fmt.Sprintf("%s is no port: use 1 to 65535, or low-high", text))
			return
		}
		switch {
		case len(value) > maxValueBytes:
			s.drop(&st, fmt.Sprintf("value is longer than %d bytes", maxValueBytes))
			return
		case count >= maxKeys:
			s.drop(&st, fmt.Sprintf("more than %d keys", maxKeys))
			return
		case total+len(name)+len(value) > maxKeysBytes:
			s.drop(&st, fmt.Sprintf("keys and values exceed %d bytes", maxKeysBytes))
			return
		}
		count++
		total += len(name) + len(value)
		st.secret = !label && looksSecret(name, value)
		s.byField[field] = append(s.byField[field], st)
	}
	names := make([]string, 0, len(c.labels))
	for k := range c.labels {
		if strings.HasPrefix(k, keyPrefix) {
			names = append(names, k)
		}
	}
	sort.Strings(names) // labels have no order of their own
	for _, k := range names {
		add(k, c.labels[k], true)
	}
	for i := len(c.env) - 1; i >= 0; i-- { // the last of equal ones comes first, and wins
		if k, v, ok := strings.Cut(c.env[i], "="); ok && strings.HasPrefix(k, keyPrefix) {
			add(k, v, false)
		}
	}
	for f, list := range s.byField {
		sort.SliceStable(list, func(i, j int) bool { return list[i].scope.rank() > list[j].scope.rank() })
		s.fields = append(s.fields, f)
	}
	sort.Strings(s.fields)
	return s
}

func (s *settings) drop(st *setting, why string) {
	if len(s.dropped) < maxKeys {
		s.dropped = append(s.dropped, st.from()+": "+why)
	}
}

// keyReader answers for one container with the rules of its profile.
type keyReader struct {
	*settings
	compat   bool
	networks []endpoint
}

// asks reports whether any key of a check is there.
func (k *keyReader) asks(prefix string) bool {
	for _, f := range k.fields {
		if strings.HasPrefix(f, prefix) {
			return true
		}
	}
	return false
}

// find is the winning setting of field for port p; nil when none is there. A setting with an
// empty value is returned: it unsets what is inherited.
func (k *keyReader) find(p portProto, field string) *setting {
	list := k.byField[field]
	for i := range list {
		if list[i].scope.covers(p) && k.honoured(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// value is the winning value; "" when unset.
func (k *keyReader) value(p portProto, field string) string {
	if st := k.find(p, field); st != nil {
		return st.value
	}
	return ""
}

// firstOf is the winning value among words that mean the same: the more specific, then the first.
func (k *keyReader) firstOf(p portProto, words ...string) string {
	var best *setting
	for _, w := range words {
		if st := k.find(p, w); st != nil && st.value != "" && (best == nil || st.scope.rank() > best.scope.rank()) {
			best = st
		}
	}
	if best == nil {
		return ""
	}
	return best.value
}

// general is the value that no port scope decides.
func (k *keyReader) general(field string) string {
	list := k.byField[field]
	for i := range list {
		if list[i].scope.general() && k.honoured(&list[i]) {
			return list[i].value
		}
	}
	return ""
}

// isControl reports whether st steers registration, as opposed to being metadata.
func (k *keyReader) isControl(st *setting) bool {
	_, control := controlWords[st.field]
	return (control || strings.HasPrefix(st.field, "check_") || strings.HasPrefix(st.field, "meta_")) && k.honoured(st)
}

// legacyChecks are the check fields of gliderlabs/registrator.
var legacyChecks = map[string]bool{
	"check_http": true, "check_https": true, "check_http_method": true, "check_https_method": true, "check_tcp": true,
	"check_grpc": true, "check_grpc_use_tls": true, "check_tls_skip_verify": true, "check_script": true, "check_cmd": true,
	"check_ttl": true, "check_interval": true, "check_timeout": true, "check_initial_status": true,
	"check_deregister_after": true,
}

// honoured: see controlWords.
func (k *keyReader) honoured(st *setting) bool {
	if st.label {
		return true
	}
	if strings.HasPrefix(st.field, "check_") {
		return !k.compat || legacyChecks[st.field]
	}
	if strings.HasPrefix(st.field, "meta_") {
		return !k.compat
	}
	legacy, control := controlWords[st.field]
	if !control || legacy {
		return true
	}
	return !k.compat && !labelOnly[st.field] && (st.value == "" || k.parses(st))
}

// parses reports whether a variable's value is one that the control word takes.
func (k *keyReader) parses(st *setting) bool {
	v := strings.TrimSpace(st.value)
	switch st.field {
	case "ip", "address":
		_, err := netip.ParseAddr(v)
		return err == nil || v == "host" || strings.HasPrefix(v, "iface:") || strings.HasPrefix(v, "network:")
	case "network":
		_, ok := pickNetwork(k.networks, v)
		return ok
	case "address_mode":
		return v == AddressPublished || v == AddressInternal || v == AddressAuto
	case "address_family":
		return v == FamilyIPv4 || v == FamilyIPv6 || v == FamilyDual || v == FamilyPreferIPv6
	case "weight", "weight_warning":
		n, err := strconv.Atoi(v)
		return err == nil && n >= 0 && n <= 65535
	case "ttl", "drain":
		_, err := parseDuration(v)
		return err == nil
	case "deregister":
		return v == DeregisterAlways || v == DeregisterOnSuccess || v == DeregisterNever
	}
	_, ok := parseBool(v)
	return ok
}

// parseDuration reads a duration; a bare number is seconds.
func parseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, badValue(s, "want a duration such as 10s or a number of seconds")
	}
	return d, nil
}
