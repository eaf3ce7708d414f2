package registrator

import (
	"fmt"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"time"
)

// inspected is a container as an inspect shows it, reduced to what registration needs. It is not changed
// after the engine returned it.
type inspected struct {
	id, name string
	image    string // as typed by whoever started it
	imageID  string
	repoTag  string // first tag of the image, only asked for when image is a bare ID
	hostname string
	env      []string
	labels   map[string]string
	exposed  []portProto
	state    containerState

	stopSignal  string
	stopTimeout int // seconds; below 0: not set

	networkMode string
	wanted      map[portProto][]binding // what HostConfig asks for
	ports       map[portProto][]binding // what is; nil list: exposed, not published
	networks    []endpoint              // sorted by name
	policy      string                  // restart policy
	detail      any                     // the engine library's object, for containers' own templates; nil unless asked for
	tagsText    string                  // what the -tags setting comes to for this container
	tagsErr     error
}

type containerState struct {
	status                            string
	running, paused, restarting, dead bool
	oom                               bool
	exitCode, pid                     int
	started, finished                 time.Time
	startedText                       string
	health                            string // "", none, starting, healthy, unhealthy
	healthOutput                      string
}

// up is the definition of a running container: restart back-off shows Running too.
func (s *containerState) up() bool { return s.running && !s.restarting && !s.dead }

// text is the state as a person names it.
func (s *containerState) text() string {
	if s.status != "" {
		return s.status
	}
	switch {
	case s.restarting:
		return "restarting"
	case s.paused:
		return "paused"
	case s.running:
		return "running"
	case s.dead:
		return "dead"
	}
	return "exited"
}

type endpoint struct {
	name, id string
	ip4, ip6 netip.Addr
	priority int
}

type binding struct {
	ip   netip.Addr // invalid: any address of the host
	port int
}

// listed is a row of the container list.
type listed struct {
	id, name string
	state    string
	key      string // changes when something about the container did

	startedAfter time.Time // engine clock, as far as the uptime tells; zero: unknown
}

// portProto is a container port.
type portProto struct {
	port  int
	proto string // tcp, udp, sctp
}

func (p portProto) String() string { return strconv.Itoa(p.port) + "/" + p.proto }

func (p portProto) less(o portProto) bool {
	if p.port != o.port {
		return p.port < o.port
	}
	return protoRank(p.proto) < protoRank(o.proto)
}

func protoRank(p string) int {
	switch p {
	case "tcp":
		return 0
	case "udp":
		return 1
	}
	return 2
}

// parsePortProto reads "80/tcp" or "80".
func parsePortProto(s string) (portProto, error) {
	num, proto, found := strings.Cut(s, "/")
	if !found {
		proto = "tcp"
	}
	proto = strings.ToLower(proto)
	n, err := strconv.ParseUint(num, 10, 16)
	if err != nil || n == 0 {
		return portProto{}, fmt.Errorf("port %q: not a number from 1 to 65535", s)
	}
	if !isProto(proto) {
		return portProto{}, fmt.Errorf("port %q: protocol is not tcp, udp or sctp", s)
	}
	return portProto{int(n), proto}, nil
}

func isProto(s string) bool { return s == "tcp" || s == "udp" || s == "sctp" }

func sortedPorts(set map[portProto]bool) []portProto {
	out := make([]portProto, 0, len(set))
	for p := range set {
		out = append(out, p)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].less(out[j]) })
	return out
}

// short is the 12 characters of an ID that people use.
func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// event is what of an engine event is looked at.
type event struct {
	kind   string // container, network, daemon
	action string
	id     string // of the actor
	attrs  map[string]string
	at     int64 // engine clock, nanoseconds
}

// engineInfo is what is learned of an engine at connect.
type engineInfo struct {
	id       string
	version  string
	api      string
	clock    time.Time // engine's; zero: unknown
	podman   bool
	rootless bool
	swarm    bool
}
