package registrator

import (
	"strconv"
	"strings"
)

// variables are what $NAME stands for in checks and tags.
type variables map[string]string

func (b *builder) variables(in *instance, a *accepted) variables {
	ip := ""
	if n, _ := b.network(a.port); n != nil {
		ip = n.ip4.String()
		if !n.ip4.IsValid() {
			ip = n.ip6.String()
		}
	}
	return variables{
		"SERVICE_IP": in.def.Address, "SERVICE_PORT": strconv.Itoa(in.def.Port), "SERVICE_ID": in.def.ID,
		"SERVICE_NAME": in.def.Name, "CONTAINER_ID": b.c.id, "CONTAINER_NAME": b.c.name, "CONTAINER_IP": ip,
		"CONTAINER_PORT": strconv.Itoa(a.port.port), "NODE": b.r.cfg.Node,
	}
}

// expand replaces $NAME and ${NAME} in one pass, the longest name first; $$ is a dollar sign.
// What is not a known name stays as it is, for the shell that may follow.
func (v variables) expand(s string) string {
	if !strings.Contains(s, "$") {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '$' || i+1 == len(s) {
			out.WriteByte(s[i])
			i++
			continue
		}
		rest := s[i+1:]
		if rest[0] == '$' {
			out.WriteByte('$')
			i += 2
			continue
		}
		if name, after, ok := strings.Cut(strings.TrimPrefix(rest, "{"), "}"); ok && rest[0] == '{' {
			if val, known := v[name]; known {
				out.WriteString(val)
				i = len(s) - len(after)
				continue
			}
		}
		name := v.longest(rest)
		if name == "" {
			out.WriteByte('$')
			i++
			continue
		}
		out.WriteString(v[name])
		i += 1 + len(name)
	}
	return out.String()
}

func (v variables) longest(s string) string {
	best := ""
	for name := range v {
		if len(name) > len(best) && strings.HasPrefix(s, name) {
			best = name
		}
	}
	return best
}

// splitWords splits a command line as a shell would, with quotes and backslashes and nothing
// else.
func splitWords(s string) ([]string, error) {
	var out []string
	var cur strings.Builder
	var quote byte
	started := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == '\'' && c != '\'':
			cur.WriteByte(c)
		case c == quote && quote != 0:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, started = c, true
		case c == '\\' && i+1 < len(s):
			i++
			cur.WriteByte(s[i])
			started = true
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n'):
			if started {
				out = append(out, cur.String())
			}
			cur.Reset()
			started = false
		default:
			cur.WriteByte(c)
			started = true
		}
	}
	if quote != 0 {
		return nil, badValue(s, "a quote is not closed")
	}
	if started {
		out = append(out, cur.String())
	}
	return out, nil
}
