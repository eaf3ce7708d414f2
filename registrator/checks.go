package registrator

import (
	"encoding/json"
	"net"
	"strconv"
	"strings"
	"time"

	"berth"
)

const (
	checkIntervalDefault = 10 * time.Second
	checkTimeoutDefault  = 10 * time.Second
	checkIntervalMin     = time.Second
	checkIntervalMax     = time.Hour
	deregisterAfterMin   = time.Minute
	lastCheckIndex       = 9
)

// checks adds the checks that keys ask for: the first one without an index, 2 to 9 with one.
func (b *builder) checks(in *instance, vars variables) {
	for n := 1; n <= lastCheckIndex; n++ {
		prefix := "check_"
		if n > 1 {
			prefix += strconv.Itoa(n) + "_"
		}
		cb := checkBuilder{b: b, in: in, vars: vars, prefix: prefix}
		if b.checkN >= maxChecks {
			if b.keys.asks(prefix) {
				b.remark(tooManyChecks)
			}
			return
		}
		c := cb.build()
		if c == nil {
			continue
		}
		b.checkN++
		c.ID = "service:" + in.def.ID
		if n > 1 {
			c.ID += ":" + strconv.Itoa(n)
		}
		c.ServiceID = in.def.ID
		if c.Passive {
			in.beat = c
		} else {
			in.def.Checks = append(in.def.Checks, c)
		}
	}
}

// checkBuilder makes one check of one instance.
type checkBuilder struct {
	b      *builder
	in     *instance
	vars   variables
	prefix string
	c      berth.CheckDefinition
}

func (cb *checkBuilder) get(field string) string {
	return strings.TrimSpace(cb.b.keys.value(cb.in.port, cb.prefix+field))
}

func (cb *checkBuilder) drop(field, value, why string) { cb.b.drop(cb.prefix+field, value, why) }

// isSet: a flag is set by any text but a no; the compat profile takes any text.
func (cb *checkBuilder) isSet(field string) bool {
	v := cb.get(field)
	yes, known := parseBool(v)
	return v != "" && (cb.b.keys.compat || !known || yes)
}

func (cb *checkBuilder) build() *berth.CheckDefinition {
	if !cb.kind() {
		return nil
	}
	c := &cb.c
	cb.timing()
	switch s := cb.get("initial_status"); s {
	case berth.StatusPassing, berth.StatusWarning, berth.StatusCritical:
		c.Status = s
	case "":
	default:
		cb.drop("initial_status", s, "want passing, warning or critical")
	}
	c.Name, c.Notes = cb.get("name"), cb.get("notes")
	if c.Name == "" {
		c.Name = "Service '" + cb.in.def.Name + "' check"
	}
	c.SuccessBeforePassing = cb.count("success_before_passing")
	c.FailuresBeforeCritical = cb.count("failures_before_critical")
	c.FailuresBeforeWarning = cb.count("failures_before_warning")
	if c.FailuresBeforeWarning > c.FailuresBeforeCritical {
		cb.drop("failures_before_warning", cb.get("failures_before_warning"), "more than failures_before_critical")
		c.FailuresBeforeWarning = 0
	}
	return c
}

func (cb *checkBuilder) count(field string) int {
	v := cb.get(field)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil {
		cb.drop(field, v, "want a number")
	}
	return int(n)
}

// kind sets up the first kind of check that is asked for, in registrator's order.
func (cb *checkBuilder) kind() bool {
	for _, k := range []struct {
		field string
		make  func(value string) bool
	}{
		{"http", func(v string) bool { return cb.http("http", v) }},
		{"https", func(v string) bool { return cb.http("https", v) }},
		{"cmd", cb.cmd}, {"script", cb.script}, {"ttl", cb.ttl}, {"tcp", cb.tcp}, {"grpc", cb.grpc},
		{"udp", cb.udp}, {"docker", cb.exec}, {"docker_script", cb.exec},
	} {
		if v := cb.get(k.field); v != "" {
			if no, known := parseBool(v); known && !no && !cb.b.keys.compat {
				continue // switched off
			}
			return k.make(v)
		}
	}
	return false
}

// addr is where the check goes: to the container's own endpoint, whatever address a key gives to
// others. ok is false when it has none.
func (cb *checkBuilder) addr(field, value string) (addr string, ok bool) {
	if cb.in.own == "" {
		cb.drop(field, value, foreignTarget)
	}
	return cb.in.own, cb.in.own != ""
}

const foreignTarget = "checks of addresses other than the container's own are not allowed here (allow_foreign_targets)"

func (cb *checkBuilder) http(scheme, value string) bool {
	c := &cb.c
	addr, ok := cb.addr(scheme, value)
	if !ok {
		return false
	}
	p := cb.vars.expand(value)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // also keeps a path from naming another host
	}
	c.HTTP = scheme + "://" + addr + p
	c.StayOnHost = !cb.b.r.cfg.AllowForeignTargets
	c.Method = cb.get(scheme + "_method")
	c.Body = cb.get("body")
	c.DisableRedirects = cb.isSet("disable_redirects")
	if h := cb.get("header"); h != "" {
		c.Header = cb.header(h)
	}
	if scheme == "https" {
		c.TLSSkipVerify, c.TLSServerName = cb.isSet("tls_skip_verify"), cb.get("tls_server_name")
	}
	return true
}

// header reads a JSON object whose values are strings or lists of strings.
func (cb *checkBuilder) header(text string) map[string][]string {
	var raw map[string]any
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		cb.drop("header", text, "want a JSON object: "+err.Error())
		return nil
	}
	out := map[string][]string{}
	for k, v := range raw {
		switch v := v.(type) {
		case string:
			out[k] = []string{v}
		case []any:
			for _, x := range v {
				if s, ok := x.(string); ok {
					out[k] = append(out[k], s)
				}
			}
		default:
			cb.drop("header", text, "values are strings or lists of strings")
		}
	}
	return out
}

// endpoint is the instance's own address unless the value names another port, or another host
// where that is allowed.
func (cb *checkBuilder) endpoint(field, value string) (string, bool) {
	if _, known := parseBool(value); known || cb.b.keys.compat {
		return cb.addr(field, value)
	}
	value = cb.vars.expand(value)
	host, text := cb.in.def.Address, strings.TrimPrefix(value, ":")
	if strings.Contains(text, ":") {
		host, text, _ = cutHostPort(value)
	}
	port, ok := parsePort(text)
	switch {
	case !ok || host == "":
		cb.drop(field, value, "want true, a port or host:port")
		return "", false
	case !cb.b.mayCheck(host, port):
		cb.drop(field, value, foreignTarget)
		return "", false
	}
	return hostPort(host, port), true
}

func cutHostPort(s string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(s)
	return host, port, err == nil
}

func (cb *checkBuilder) tcp(value string) bool {
	addr, ok := cb.endpoint("tcp", value)
	cb.c.TCP = addr
	return ok
}

func (cb *checkBuilder) udp(value string) bool {
	addr, ok := cb.endpoint("udp", value)
	cb.c.UDP = addr
	return ok
}

func (cb *checkBuilder) grpc(value string) bool {
	c := &cb.c
	addr, ok := cb.addr("grpc", value)
	if !ok {
		return false
	}
	c.GRPC = addr
	if yes, known := parseBool(value); !known && !cb.b.keys.compat {
		c.GRPC += "/" + strings.TrimPrefix(value, "/")
	} else if known && !yes && !cb.b.keys.compat {
		return false
	}
	if cb.isSet("grpc_use_tls") {
		c.GRPCUseTLS = true
		c.TLSSkipVerify, c.TLSServerName = cb.isSet("tls_skip_verify"), cb.get("tls_server_name")
	}
	return true
}

func (cb *checkBuilder) ttl(value string) bool {
	d, err := parseDuration(value)
	if err != nil || d == 0 {
		cb.drop("ttl", value, "want a duration above 0")
		return false
	}
	if cb.get("ttl_from") == "docker" {
		cb.c.Passive, cb.c.Type = true, berth.CheckTTL
		return true
	}
	cb.c.TTL = berth.Duration(d)
	return true
}

// script runs on the host, which only the operator may allow.
func (cb *checkBuilder) script(value string) bool {
	if !cb.b.r.cfg.AllowScriptChecks {
		cb.drop("script", value, "script checks on the host are off; use SERVICE_CHECK_DOCKER, or allow_script_checks")
		return false
	}
	words, err := splitWords(value)
	if err != nil || len(words) == 0 {
		cb.drop("script", value, "not a command line: a quote is not closed, or it is empty")
		return false
	}
	for i := range words {
		words[i] = cb.vars.expand(words[i])
	}
	cb.c.ScriptArgs = words
	return true
}

// cmd ran a helper on the host that entered the container; the same is done by exec.
func (cb *checkBuilder) cmd(value string) bool { return cb.inContainer("cmd", value, "/bin/sh") }

func (cb *checkBuilder) exec(value string) bool {
	shell := cb.get("shell")
	if s := cb.get("docker_shell"); s != "" {
		shell = s
	}
	if shell == "" {
		shell = "/bin/sh"
	}
	return cb.inContainer("docker", value, shell)
}

func (cb *checkBuilder) inContainer(field, value, shell string) bool {
	if !on(cb.b.r.cfg.AllowExecChecks) {
		cb.drop(field, value, "checks inside containers are off (allow_exec_checks)")
		return false
	}
	argv := []string{shell, "-c", cb.vars.expand(value)}
	if shell == "none" {
		words, err := splitWords(value)
		if err != nil || len(words) == 0 {
			cb.drop(field, value, "not a command line: a quote is not closed, or it is empty")
			return false
		}
		for i := range words {
			words[i] = cb.vars.expand(words[i])
		}
		argv = words
	}
	cb.c.DockerContainerID, cb.c.ScriptArgs = cb.b.c.id, argv
	return true
}

// timing sets interval, timeout and when the instance is dropped.
func (cb *checkBuilder) timing() {
	c := &cb.c
	if c.TTL == 0 && !c.Passive {
		iv := cb.duration("interval", checkIntervalDefault)
		iv = min(max(iv, checkIntervalMin), checkIntervalMax)
		c.Interval = berth.Duration(iv)
		if t := cb.duration("timeout", 0); t > 0 {
			c.Timeout = berth.Duration(min(t, maxTimeout))
		} else {
			c.Timeout = berth.Duration(min(checkTimeoutDefault, iv))
		}
	}
	if d := cb.duration("deregister_after", 0); d > 0 {
		c.DeregisterCriticalServiceAfter = berth.Duration(max(d, deregisterAfterMin))
	}
}

func (cb *checkBuilder) duration(field string, def time.Duration) time.Duration {
	v := cb.get(field)
	if v == "" {
		return def
	}
	d, err := parseDuration(v)
	if err != nil {
		cb.drop(field, v, "want a duration such as 10s or a number of seconds")
		return def
	}
	return d
}
