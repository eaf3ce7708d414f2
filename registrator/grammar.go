package registrator

import (
	"strconv"
	"strings"
)

const keyPrefix = "SERVICE_"

// scope is the part of a key that says which ports it is about; the zero scope is general.
type scope struct {
	lo, hi int    // 0: all ports
	proto  string // "": all protocols
}

func (s scope) general() bool { return s.lo == 0 }

func (s scope) covers(p portProto) bool {
	return s.general() || (p.port >= s.lo && p.port <= s.hi && (s.proto == "" || s.proto == p.proto))
}

// rank orders scopes by how specific they are; higher wins. Ranges of equal kind: the
// narrower wins.
func (s scope) rank() int {
	const class = 1 << 17
	width := s.hi - s.lo
	switch {
	case s.general():
		return 0
	case width == 0 && s.proto != "":
		return 5 * class
	case width == 0:
		return 4 * class
	case s.proto != "":
		return 3*class - width
	}
	return 2*class - width
}

// parseKey splits the name of a label or variable:
//
//	key   := "SERVICE_" [ scope "_" ] field
//	scope := port | port "-" port | port "_" proto | port "-" port "_" proto
//
// The field is lower-cased. ok is false for what is no key at all.
func parseKey(name string) (sc scope, field string, ok bool) {
	rest, found := strings.CutPrefix(name, keyPrefix)
	if !found || rest == "" {
		return scope{}, "", false
	}
	first, tail, more := strings.Cut(rest, "_")
	if !more || tail == "" {
		return scope{}, strings.ToLower(rest), true
	}
	lo, hi, isPort := parseRange(first)
	if !isPort {
		return scope{}, strings.ToLower(rest), true
	}
	sc = scope{lo: lo, hi: hi}
	proto, field, more := strings.Cut(tail, "_")
	if p := strings.ToLower(proto); more && field != "" && isProto(p) {
		sc.proto = p
		return sc, strings.ToLower(field), true
	}
	return sc, strings.ToLower(tail), true
}

// badPort finds a scope that is meant as a port or a range and is none, such as 99999 or 90-80.
func badPort(name string) (text string, bad bool) {
	first, tail, more := strings.Cut(strings.TrimPrefix(name, keyPrefix), "_")
	if !more || tail == "" || strings.Trim(first, "0123456789-") != "" {
		return "", false
	}
	_, _, ok := parseRange(first)
	return first, !ok
}

// parseKeyCompat splits as gliderlabs/registrator did: a number before the first underscore is
// the container's port, spelt exactly so; there are no protocols and no ranges. A scope that
// can match no port has lo below 0.
func parseKeyCompat(name string) (sc scope, field string, ok bool) {
	rest, found := strings.CutPrefix(name, keyPrefix)
	if !found || rest == "" {
		return scope{}, "", false
	}
	first, tail, more := strings.Cut(rest, "_")
	n, err := strconv.Atoi(first)
	if !more || tail == "" || err != nil {
		return scope{}, strings.ToLower(rest), true
	}
	if n < 1 || n > 65535 || strconv.Itoa(n) != first {
		return scope{lo: -1, hi: -1}, strings.ToLower(tail), true
	}
	return scope{lo: n, hi: n}, strings.ToLower(tail), true
}

// parseRange reads "80" or "7000-7010"; leading zeros are allowed.
func parseRange(s string) (lo, hi int, ok bool) {
	a, b, ranged := strings.Cut(s, "-")
	lo, ok = parsePort(a)
	if !ok || !ranged {
		return lo, lo, ok
	}
	hi, ok = parsePort(b)
	return lo, hi, ok && lo <= hi
}

func parsePort(s string) (int, bool) {
	if s == "" || len(s) > 32 {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 1 && n <= 65535
}

// splitList splits at commas that no backslash precedes; empty items vanish.
func splitList(s string) []string {
	var out []string
	var cur strings.Builder
	flush := func() {
		if cur.Len() > 0 {
			out = append(out, cur.String())
		}
		cur.Reset()
	}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == ',':
			cur.WriteByte(',')
			i++
		case s[i] == ',':
			flush()
		default:
			cur.WriteByte(s[i])
		}
	}
	flush()
	return out
}

// parsePortList reads "8080,9090/udp,7000-7010".
func parsePortList(s string) ([]portProto, error) {
	set := map[portProto]bool{}
	for _, item := range splitList(s) {
		num, proto, found := strings.Cut(strings.TrimSpace(item), "/")
		if !found {
			proto = "tcp"
		}
		lo, hi, ok := parseRange(num)
		proto = strings.ToLower(proto)
		if !ok || !isProto(proto) || len(set)+hi-lo > maxPorts {
			return nil, badValue(item, "want ports such as 8080, 53/udp or 7000-7010, 4096 in all")
		}
		for p := lo; p <= hi; p++ {
			set[portProto{p, proto}] = true
		}
	}
	return sortedPorts(set), nil
}

// parseBool reads the usual words for yes and no.
func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "true", "yes", "on", "y", "t":
		return true, true
	case "0", "false", "no", "off", "n", "f":
		return false, true
	}
	return false, false
}
