package enginetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"sort"
	"strings"
	"sync"
	"time"
)

// Binding is where a container port is published.
type Binding struct{ HostIP, HostPort string }

// Network is a container's place in one network.
type Network struct {
	ID, IP, IP6 string
	Priority    int
}

// Container is what a test asks to be run, and what it then reads back. Zero values are those
// of a plain container on the default bridge.
type Container struct {
	ID, Name, Image string // ID "": made up
	Env             []string
	Labels          map[string]string
	Exposed         []string             // "80/tcp"
	Ports           map[string][]Binding // "80/tcp"; nil list: exposed only
	Networks        map[string]Network   // nil: bridge with a made-up address
	NetworkMode     string               // "": bridge
	StopSignal      string
	StopTimeout     *int
	Health          string // "", starting, healthy, unhealthy
	HealthOutput    string
	Restart         string        // restart policy name
	AutoRemove      bool          // --rm
	LatePorts       time.Duration // bindings show only this long after the start
	ImageID         string
	Hostname        string

	// State; set by the engine's methods.
	Running, Paused, Restarting, Dead, OOMKilled bool
	ExitCode                                     int
	StartedAt, FinishedAt                        time.Time
}

// Event is one line of the event stream.
type Event struct {
	Type, Action, ID string
	Attributes       map[string]string
	At               time.Time
}

const ringSize = 256

// Engine is the fake. Its methods may be called from any goroutine.
type Engine struct {
	mu         sync.Mutex // guards everything below
	containers map[string]*Container
	images     map[string][]string // image ID -> tags
	ring       []Event
	subs       map[*subscriber]bool
	next       int
	rng        *rand.Rand

	id         string
	api, min   string
	podman     bool
	rootless   bool
	clock      time.Duration // offset from the real one
	faults     Faults
	hung       map[string]chan struct{} // inspects of these wait
	failed     map[string]int           // inspects of these answer with this status
	listHung   chan struct{}
	pingHung   chan struct{}
	staleList  []*Container
	staleLeft  int
	silent     bool
	held       []Event
	requests   map[string]int
	down       bool
	conns      map[net.Conn]bool
	pipes      *pipeListener
	infoDenied bool
	emptyList  bool
}

// New returns an engine like Debian's dockerd 20.10: API 1.41.
func New() *Engine {
	return &Engine{containers: map[string]*Container{}, images: map[string][]string{}, subs: map[*subscriber]bool{},
		rng: rand.New(rand.NewPCG(1, 2)), id: "ENGINE:ONE", api: "1.41", min: "1.12", hung: map[string]chan struct{}{},
		failed: map[string]int{}, requests: map[string]int{}, conns: map[net.Conn]bool{}}
}

// Now is the engine's clock.
func (e *Engine) Now() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now()
}

func (e *Engine) now() time.Time { return time.Now().Add(e.clock) }

// Run creates and starts a container and returns its ID.
func (e *Engine) Run(c Container) string {
	id := e.Create(c)
	e.Start(id)
	return id
}

// Create makes a container that does not run yet.
func (e *Engine) Create(c Container) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next++
	if c.ID == "" {
		c.ID = fmt.Sprintf("%012x%052x", 0xc0000000+e.next, e.next)
	}
	if c.Name == "" {
		c.Name = fmt.Sprintf("c%d", e.next)
	}
	if c.Image == "" {
		c.Image = "app:1"
	}
	if c.NetworkMode == "" {
		c.NetworkMode = "default"
	}
	if c.Networks == nil && (c.NetworkMode == "default" || c.NetworkMode == "bridge") {
		c.Networks = map[string]Network{"bridge": {ID: "netbridge", IP: fmt.Sprintf("172.17.%d.%d", e.next/250, e.next%250+2)}}
	}
	c.Labels = maps.Clone(c.Labels)
	cc := c
	e.containers[c.ID] = &cc
	e.emit("container", "create", &cc, nil)
	return c.ID
}

// Start starts a container that exists.
func (e *Engine) Start(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.containers[id]
	if c == nil || (c.Running && !c.Restarting) {
		return
	}
	c.Running, c.Restarting, c.Paused, c.Dead, c.ExitCode = true, false, false, false, 0
	at := e.now()
	if !at.After(c.StartedAt) && e.clock >= 0 {
		at = c.StartedAt.Add(1)
	}
	c.StartedAt = at
	if c.Health != "" {
		c.Health = "starting"
	}
	for name, n := range c.Networks {
		e.put(Event{Type: "network", Action: "connect", ID: n.ID, Attributes: map[string]string{"container": id, "name": name}})
	}
	e.emit("container", "start", c, nil)
}

// Die ends a container's process with a code. With a restart policy it goes into back-off
// when restarting is true.
func (e *Engine) Die(id string, code int, restarting bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.die(id, code, restarting)
}

func (e *Engine) die(id string, code int, restarting bool) {
	c := e.containers[id]
	if c == nil || !c.Running || c.Restarting {
		return
	}
	c.Running, c.Paused, c.Restarting, c.ExitCode = restarting, false, restarting, code
	c.FinishedAt = e.now()
	key := "exitCode"
	if e.podman {
		key = "containerExitCode"
	}
	e.emit("container", "die", c, map[string]string{key: fmt.Sprint(code)})
	for name, n := range c.Networks {
		e.put(Event{Type: "network", Action: "disconnect", ID: n.ID, Attributes: map[string]string{"container": id, "name": name}})
	}
	if c.AutoRemove && !restarting {
		e.remove(id)
	}
}

// Kill sends a signal: the event only, what follows is for the test to say.
func (e *Engine) Kill(id string, signal int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[id]; c != nil && c.Running {
		attrs := map[string]string{"signal": fmt.Sprint(signal)}
		if e.podman {
			attrs = nil
		}
		e.emit("container", "kill", c, attrs)
	}
}

// Stop is docker stop: kill, die, stop.
func (e *Engine) Stop(id string) {
	e.Kill(id, 15)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.die(id, 143, false)
	if c := e.containers[id]; c != nil {
		e.emit("container", "stop", c, nil)
	}
}

// Remove is docker rm -f.
func (e *Engine) Remove(id string) {
	e.Kill(id, 9)
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[id]; c != nil {
		c.Restarting = false
		e.die(id, 137, false)
		e.remove(id)
	}
}

func (e *Engine) remove(id string) {
	c := e.containers[id]
	if c == nil {
		return
	}
	delete(e.containers, id)
	action := "destroy"
	if e.podman {
		action = "remove"
	}
	e.emit("container", action, c, nil)
}

// Vanish removes a container without any event.
func (e *Engine) Vanish(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.containers, id)
}

// Change edits a container without any event.
func (e *Engine) Change(id string, f func(*Container)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[id]; c != nil {
		f(c)
	}
}

// Pause freezes a container, Unpause thaws it.
func (e *Engine) Pause(id string) { e.setPaused(id, true) }

// Unpause thaws a container.
func (e *Engine) Unpause(id string) { e.setPaused(id, false) }

func (e *Engine) setPaused(id string, paused bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.containers[id]
	if c == nil || !c.Running || c.Restarting || c.Paused == paused {
		return
	}
	c.Paused = paused
	action := "unpause"
	if paused {
		action = "pause"
	}
	e.emit("container", action, c, nil)
}

// Rename gives a container another name.
func (e *Engine) Rename(id, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.containers[id]
	if c == nil {
		return
	}
	old := c.Name
	c.Name = name
	e.emit("container", "rename", c, map[string]string{"oldName": "/" + old})
}

// SetHealth changes the result of a HEALTHCHECK.
func (e *Engine) SetHealth(id, status, output string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.containers[id]
	if c == nil || !c.Running {
		return
	}
	changed := c.Health != status
	c.Health, c.HealthOutput = status, output
	if changed || e.podman {
		e.emit("container", "health_status: "+status, c, nil)
	}
}

// Connect attaches a running container to a network, Disconnect detaches it.
func (e *Engine) Connect(id, name string, n Network) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[id]; c != nil {
		c.Networks = maps.Clone(c.Networks)
		if c.Networks == nil {
			c.Networks = map[string]Network{}
		}
		c.Networks[name] = n
		e.put(Event{Type: "network", Action: "connect", ID: n.ID, Attributes: map[string]string{"container": id, "name": name}})
	}
}

// Disconnect detaches a container from a network.
func (e *Engine) Disconnect(id, name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[id]; c != nil {
		n := c.Networks[name]
		c.Networks = maps.Clone(c.Networks)
		delete(c.Networks, name)
		e.put(Event{Type: "network", Action: "disconnect", ID: n.ID, Attributes: map[string]string{"container": id, "name": name}})
	}
}

// Tag names an image by ID.
func (e *Engine) Tag(imageID string, tags ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.images[imageID] = tags
}

// Containers are copies of all containers, sorted by ID.
func (e *Engine) Containers() []Container {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]Container, 0, len(e.containers))
	for _, c := range e.containers {
		out = append(out, *c)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// Requests counts the calls so far to "inspect", "list", "events", "ping", "info", "version".
func (e *Engine) Requests(kind string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.requests[kind]
}

// Emit sends an event that nothing happened for: a replay, or an unknown one.
func (e *Engine) Emit(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.put(ev)
}

func (e *Engine) emit(kind, action string, c *Container, extra map[string]string) {
	attrs := map[string]string{"name": c.Name, "image": c.Image}
	maps.Copy(attrs, c.Labels)
	maps.Copy(attrs, extra)
	e.put(Event{Type: kind, Action: action, ID: c.ID, Attributes: attrs})
}

// put stamps an event, and lets the faults decide what becomes of it.
func (e *Engine) put(ev Event) {
	if ev.At.IsZero() {
		ev.At = e.now()
	}
	if e.podman && ev.Action == "die" {
		ev.Action = "died"
	}
	f := &e.faults
	switch {
	case f.Drop > 0 && e.rng.Float64() < f.Drop:
		return
	case f.Reorder > 0 && e.rng.Float64() < f.Reorder:
		e.held = append(e.held, ev)
		return
	}
	e.deliver(ev)
	if f.Duplicate > 0 && e.rng.Float64() < f.Duplicate {
		e.deliver(ev)
	}
	held := e.held
	e.held = nil
	for _, i := range e.rng.Perm(len(held)) {
		e.deliver(held[i])
	}
}

func (e *Engine) deliver(ev Event) {
	e.ring = append(e.ring, ev)
	if len(e.ring) > ringSize {
		e.ring = e.ring[len(e.ring)-ringSize:]
	}
	if e.silent {
		return
	}
	for s := range e.subs {
		s.push(ev)
	}
}

func (e *Engine) lookup(ref string) *Container {
	if c := e.containers[ref]; c != nil {
		return c
	}
	for _, c := range e.containers {
		if c.Name == ref || (len(ref) >= 12 && strings.HasPrefix(c.ID, ref)) {
			return c
		}
	}
	return nil
}
