package enginetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ServeHTTP answers the Engine API.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	api, oldest, down := e.api, e.min, e.down
	e.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	path := r.URL.Path
	w.Header().Set("Api-Version", api)
	w.Header().Set("Date", e.Now().UTC().Format(http.TimeFormat))
	if path == "/_ping" {
		e.ping(w, r)
		return
	}
	if v, rest, ok := strings.Cut(strings.TrimPrefix(path, "/v"), "/"); ok && strings.HasPrefix(path, "/v") {
		switch {
		case older(api, v):
			fail(w, 400, "client version "+v+" is too new. Maximum supported API version is "+api)
			return
		case older(v, oldest):
			fail(w, 400, "client version "+v+" is too old. Minimum supported API version is "+oldest)
			return
		}
		path = "/" + rest
	}
	switch {
	case path == "/info" || path == "/version":
		e.who(w, path)
	case path == "/containers/json":
		e.list(w, r)
	case path == "/events":
		e.events(w, r)
	case strings.HasPrefix(path, "/containers/") && strings.HasSuffix(path, "/json"):
		e.inspect(w, r, strings.TrimSuffix(strings.TrimPrefix(path, "/containers/"), "/json"))
	case strings.HasPrefix(path, "/images/"):
		e.image(w, strings.TrimSuffix(strings.TrimPrefix(path, "/images/"), "/json"))
	default:
		fail(w, 404, "page not found")
	}
}

// older compares "1.9" and "1.41".
func older(a, b string) bool {
	num := func(s string) int {
		_, minor, _ := strings.Cut(s, ".")
		n, err := strconv.Atoi(minor)
		if err != nil {
			return 0
		}
		return n
	}
	return num(a) < num(b)
}

func fail(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": text})
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (e *Engine) count(kind string) {
	e.mu.Lock()
	e.requests[kind]++
	e.mu.Unlock()
}

func (e *Engine) ping(w http.ResponseWriter, r *http.Request) {
	e.count("ping")
	e.mu.Lock()
	ch := e.pingHung
	if e.podman {
		w.Header().Set("Libpod-API-Version", "4.3.1")
	}
	e.mu.Unlock()
	wait(r, ch)
	_, _ = w.Write([]byte("OK"))
}

func (e *Engine) who(w http.ResponseWriter, path string) {
	e.count(path[1:])
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.infoDenied {
		fail(w, 403, "Forbidden")
		return
	}
	if path == "/version" {
		name := "Engine"
		if e.podman {
			name = "Podman Engine"
		}
		reply(w, map[string]any{"Version": "20.10.24", "ApiVersion": e.api, "Components": []any{map[string]any{"Name": name, "Version": "1"}}})
		return
	}
	opts := []string{"name=seccomp,profile=default"}
	if e.rootless {
		opts = append(opts, "name=rootless")
	}
	reply(w, map[string]any{"ID": e.id, "ServerVersion": "20.10.24", "SystemTime": e.now().Format(time.RFC3339Nano), "SecurityOptions": opts})
}

func (e *Engine) image(w http.ResponseWriter, id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	tags, ok := e.images[id]
	if !ok {
		fail(w, 404, "No such image: "+id)
		return
	}
	reply(w, map[string]any{"Id": id, "RepoTags": tags})
}

// inspect answers what is true when the answer is sent, as an engine that holds the
// container's lock.
func (e *Engine) inspect(w http.ResponseWriter, r *http.Request, ref string) {
	e.count("inspect")
	e.mu.Lock()
	f := e.faults
	var delay time.Duration
	if f.InspectDelay > 0 {
		delay = time.Duration(e.rng.Int64N(int64(f.InspectDelay)))
	}
	broken := f.InspectError > 0 && e.rng.Float64() < f.InspectError
	ch := e.hung[ref]
	if ch == nil {
		ch = e.hung[""]
	}
	status := e.failed[ref] + e.failed[""]
	e.mu.Unlock()
	wait(r, ch)
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
		}
	}
	switch {
	case broken:
		fail(w, 500, "random failure")
		return
	case status != 0:
		fail(w, status, "scripted failure")
		return
	}
	e.mu.Lock()
	c := e.lookup(ref)
	var body any
	if c != nil {
		body = e.inspectJSON(c)
	}
	e.mu.Unlock()
	if c == nil {
		fail(w, 404, "No such container: "+ref)
		return
	}
	reply(w, body)
}

func stateText(c *Container) string {
	switch {
	case c.Restarting:
		return "restarting"
	case c.Paused:
		return "paused"
	case c.Running:
		return "running"
	case c.Dead:
		return "dead"
	case c.StartedAt.IsZero():
		return "created"
	}
	return "exited"
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "0001-01-01T00:00:00Z"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func (e *Engine) inspectJSON(c *Container) any {
	state := map[string]any{"Status": stateText(c), "Running": c.Running, "Paused": c.Paused, "Restarting": c.Restarting,
		"Dead": c.Dead, "OOMKilled": c.OOMKilled, "ExitCode": c.ExitCode, "StartedAt": stamp(c.StartedAt), "FinishedAt": stamp(c.FinishedAt)}
	if c.Health != "" {
		state["Health"] = map[string]any{"Status": c.Health, "FailingStreak": 0,
			"Log": []any{map[string]any{"Start": stamp(c.StartedAt), "End": stamp(c.StartedAt), "ExitCode": 0, "Output": c.HealthOutput}}}
	}
	exposed := map[string]any{}
	for _, p := range c.Exposed {
		exposed[p] = map[string]any{}
	}
	ports, wanted := map[string]any{}, map[string]any{}
	isUp := c.Running && !c.Restarting
	for p, bs := range c.Ports {
		exposed[p] = map[string]any{}
		var list []any
		for _, b := range bs {
			list = append(list, map[string]any{"HostIp": b.HostIP, "HostPort": b.HostPort})
		}
		if len(list) > 0 {
			wanted[p] = list
		}
		if isUp && (c.LatePorts == 0 || e.now().Sub(c.StartedAt) >= c.LatePorts) {
			ports[p] = list
		}
	}
	shared := strings.HasPrefix(c.NetworkMode, "container:")
	if isUp && c.NetworkMode != "host" && c.NetworkMode != "none" && !shared {
		for _, p := range c.Exposed {
			if _, ok := ports[p]; !ok {
				ports[p] = nil
			}
		}
	} else {
		ports = map[string]any{}
	}
	nets := map[string]any{}
	for name, n := range c.Networks {
		ep := map[string]any{"NetworkID": n.ID, "IPAddress": "", "GlobalIPv6Address": "", "GwPriority": n.Priority}
		if isUp {
			ep["IPAddress"], ep["GlobalIPv6Address"] = n.IP, n.IP6
		}
		nets[name] = ep
	}
	conf := map[string]any{"Image": c.Image, "Env": c.Env, "Labels": c.Labels, "ExposedPorts": exposed, "Hostname": c.Hostname}
	if c.StopSignal != "" {
		conf["StopSignal"] = c.StopSignal
	}
	if c.StopTimeout != nil {
		conf["StopTimeout"] = *c.StopTimeout
	}
	return map[string]any{"Id": c.ID, "Name": "/" + c.Name, "Created": stamp(c.StartedAt), "Image": c.ImageID, "State": state, "Config": conf,
		"HostConfig": map[string]any{"NetworkMode": c.NetworkMode, "PortBindings": wanted, "AutoRemove": c.AutoRemove,
			"RestartPolicy": map[string]any{"Name": c.Restart}},
		"NetworkSettings": map[string]any{"Ports": ports, "Networks": nets}}
}

func (e *Engine) list(w http.ResponseWriter, r *http.Request) {
	e.count("list")
	e.mu.Lock()
	ch := e.listHung
	e.mu.Unlock()
	wait(r, ch)
	rows, ok := e.rows()
	if !ok {
		fail(w, 500, "random failure")
		return
	}
	out := []any{}
	for _, c := range rows {
		if c.Running {
			out = append(out, listJSON(c, e.Now()))
		}
	}
	reply(w, out)
}

// rows are the containers to be listed; ok is false when the list is to fail.
func (e *Engine) rows() (rows []*Container, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.faults
	if f.ListError > 0 && e.rng.Float64() < f.ListError {
		return nil, false
	}
	if e.emptyList {
		return nil, true
	}
	rows = e.copies()
	if e.staleLeft > 0 {
		rows = e.staleList
		e.staleLeft--
	} else if f.StaleList > 0 {
		if e.staleList != nil && e.rng.Float64() < f.StaleList {
			rows = e.staleList
		} else {
			e.staleList = rows
		}
	}
	return rows, true
}

func listJSON(c *Container, now time.Time) any {
	ports := []any{}
	for p, bs := range c.Ports {
		num, proto, _ := strings.Cut(p, "/")
		priv, _ := strconv.Atoi(num)
		for _, b := range bs {
			pub, _ := strconv.Atoi(b.HostPort)
			ports = append(ports, map[string]any{"IP": b.HostIP, "PrivatePort": priv, "PublicPort": pub, "Type": proto})
		}
	}
	nets := map[string]any{}
	for name, n := range c.Networks {
		nets[name] = map[string]any{"NetworkID": n.ID, "IPAddress": n.IP, "GlobalIPv6Address": n.IP6}
	}
	status := "Up " + uptime(now.Sub(c.StartedAt))
	if c.Health != "" {
		status += " (" + c.Health + ")"
	}
	return map[string]any{"Id": c.ID, "Names": []string{"/" + c.Name}, "Image": c.Image, "Labels": c.Labels, "State": stateText(c),
		"Status": status, "Ports": ports, "NetworkSettings": map[string]any{"Networks": nets},
		"HostConfig": map[string]any{"NetworkMode": c.NetworkMode}}
}

// uptime is a duration as the engine's list words it.
func uptime(d time.Duration) string {
	switch secs := int(d.Seconds()); {
	case secs < 1:
		return "Less than a second"
	case secs < 60:
		return fmt.Sprint(secs, " seconds")
	case secs < 120:
		return "About a minute"
	case d < time.Hour:
		return fmt.Sprint(int(d.Minutes()), " minutes")
	case d < 90*time.Minute:
		return "About an hour"
	}
	return fmt.Sprint(int(d.Hours()+0.5), " hours")
}

// subscriber is one open event stream.
type subscriber struct {
	queue  []Event
	wake   chan struct{}
	ended  bool
	abrupt bool
}

func (s *subscriber) push(ev Event) {
	s.queue = append(s.queue, ev)
	s.signal()
}

func (s *subscriber) end(abrupt bool) {
	s.ended, s.abrupt = true, abrupt
	s.signal()
}

func (s *subscriber) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (e *Engine) events(w http.ResponseWriter, r *http.Request) {
	e.count("events")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(200)
	rc := http.NewResponseController(w)
	_ = rc.Flush() // before subscribing, as dockerd does
	var filter map[string]map[string]bool
	_ = json.Unmarshal([]byte(r.URL.Query().Get("filters")), &filter)
	s := &subscriber{wake: make(chan struct{}, 1)}
	e.mu.Lock()
	since := parseSince(r.URL.Query().Get("since"))
	for _, ev := range e.ring {
		if !since.IsZero() && !ev.At.Before(since) {
			s.push(ev)
		}
	}
	e.subs[s] = true
	e.mu.Unlock()
	defer e.set(func() { delete(e.subs, s) })
	for {
		select {
		case <-s.wake:
		case <-r.Context().Done():
			return
		}
		e.mu.Lock()
		batch, ended, abrupt := s.queue, s.ended, s.abrupt
		s.queue = nil
		e.mu.Unlock()
		for _, ev := range batch {
			if wanted(filter, &ev) {
				if err := json.NewEncoder(w).Encode(e.eventJSON(&ev)); err != nil {
					return
				}
			}
		}
		if rc.Flush() != nil {
			return
		}
		if ended && abrupt {
			panic(http.ErrAbortHandler)
		} else if ended {
			return
		}
	}
}

func parseSince(s string) time.Time {
	secs, nanos, _ := strings.Cut(s, ".")
	a, err := strconv.ParseInt(secs, 10, 64)
	if err != nil {
		return time.Time{}
	}
	b, _ := strconv.ParseInt(nanos, 10, 64)
	return time.Unix(a, b)
}

// wanted applies a filter as the engine does: health_status makes all values prefixes.
func wanted(f map[string]map[string]bool, ev *Event) bool {
	if types := f["type"]; len(types) > 0 && !types[ev.Type] {
		return false
	}
	acts := f["event"]
	if len(acts) == 0 || acts[ev.Action] {
		return true
	}
	if acts["health_status"] {
		for a := range acts {
			if strings.HasPrefix(ev.Action, a) {
				return true
			}
		}
	}
	return false
}

func (e *Engine) eventJSON(ev *Event) any {
	m := map[string]any{"Type": ev.Type, "Action": ev.Action, "Actor": map[string]any{"ID": ev.ID, "Attributes": ev.Attributes},
		"scope": "local", "time": ev.At.Unix(), "timeNano": ev.At.UnixNano()}
	if older(e.apiVersion(), "1.52") && ev.Type == "container" {
		m["status"], m["id"], m["from"] = ev.Action, ev.ID, ev.Attributes["image"]
	}
	return m
}

func (e *Engine) apiVersion() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.api
}

// String describes an event for test logs.
func (ev Event) String() string { return fmt.Sprintf("%s %s %.12s", ev.Type, ev.Action, ev.ID) }
