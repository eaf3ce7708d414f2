package registrator

import (
	"sort"
	"strings"
	"time"

	"berth"
)

// Reason codes: why a container or a port of it is not registered.
const (
	ReasonNotRunning   = "not-running"
	ReasonNoPorts      = "no-ports"
	ReasonNotPublished = "not-published"
	ReasonIgnored      = "ignored-by-key"
	ReasonExplicit     = "explicit-no-name"
	ReasonConstraint   = "constraint"
	ReasonLoopback     = "loopback-only"
	ReasonNoAddress    = "no-address"
	ReasonBadID        = "bad-id"
	ReasonName         = "name-not-allowed"
	ReasonDuplicate    = "duplicate-id"
	ReasonFlapping     = "flapping"
	ReasonOneOff       = "oneoff"
	ReasonKubernetes   = "k8s"
	ReasonNomad        = "nomad"
	ReasonTooMuch      = "too-much"
	ReasonError        = "error"
)

// built is what a container's settings, ports and addresses come to.
type built struct {
	instances      []instance
	ports          []berth.PortReport
	reason, detail string
	network        string
	dropped        []string
	drainOnStop    bool
	deregister     string // "": as configured
	drain          time.Duration
	drainSet       bool
}

// instance is one service instance without what the container's state adds.
type instance struct {
	def       berth.ServiceDefinition
	port      portProto
	useHealth bool
	beat      *berth.CheckDefinition // TTL check that beats while the container runs
	report    int                    // index in built.ports
	own       string                 // where checks go: the container's own endpoint; "": nowhere
}

// builder computes built for one container; it does no I/O.
type builder struct {
	r    *Registrator
	c    *inspected // whose settings
	net  *inspected // whose network: c, or the owner of container:X
	now  time.Time
	keys keyReader
	out  built

	ifaces  map[string]ifaceAddr // asked for once
	boundTo map[pair]bool        // see bound
	checkN  int                  // checks made so far
	bytes   int                  // of definitions made so far
	full    bool                 // no more of them
}

// accepted is a port that passed all filters, with where it is reached.
type accepted struct {
	port   portProto
	target target
	report berth.PortReport
}

func (b *builder) build() built {
	cfg := &b.r.cfg
	b.keys = keyReader{settings: readSettings(b.c, cfg.compat()), compat: cfg.compat(), networks: b.net.networks}
	b.lifecycleKeys()
	if b.out.reason, b.out.detail = b.hidden(); b.out.reason != "" {
		return b.finish()
	}
	ports := b.fewer(b.candidates())
	var take []accepted
	published := 0
	for _, p := range ports {
		rep := berth.PortReport{Port: p.String()}
		targets, reason, detail := b.targets(p)
		if reason == "" || reason == ReasonLoopback {
			published++
		}
		if r, d := b.refused(p); r != "" {
			reason, detail = r, d
		}
		if reason != "" {
			rep.Reason, rep.Detail = reason, detail
			b.out.ports = append(b.out.ports, rep)
			continue
		}
		for _, t := range targets {
			take = append(take, accepted{p, t, rep})
		}
	}
	if len(ports) == 0 {
		b.portless(&take)
	}
	count := len(take)
	if cfg.compat() {
		count = published
	}
	for i := range take {
		b.instances(&take[i], count > 1)
	}
	return b.finish()
}

// finish completes the report.
func (b *builder) finish() built {
	b.out.dropped = b.keys.dropped
	sort.SliceStable(b.out.ports, func(i, j int) bool {
		x, _ := parsePortProto(b.out.ports[i].Port)
		y, _ := parsePortProto(b.out.ports[j].Port)
		return x.less(y)
	})
	if len(b.out.instances) == 0 && b.out.reason == "" && len(b.out.ports) > 0 {
		b.out.reason, b.out.detail = mainReason(b.out.ports)
	}
	return b.out
}

// mainReason is why a container none of whose ports is registered is not: what keeps out a port
// that is published or named tells more than that others are not published.
func mainReason(ports []berth.PortReport) (reason, detail string) {
	differ := false
	telling := ports[0]
	for _, p := range ports {
		differ = differ || p.Reason != ports[0].Reason
		if telling.Reason == ReasonNotPublished {
			telling = p
		}
	}
	if differ && telling.Detail != "" {
		return telling.Reason, telling.Port + ": " + telling.Detail
	}
	return telling.Reason, telling.Detail
}

// lifecycleKeys reads what concerns the container as a whole.
func (b *builder) lifecycleKeys() {
	b.out.drainOnStop = on(b.r.cfg.DeregisterOnStop)
	if yes, ok := b.yesNo("deregister_on_stop", b.keys.general("deregister_on_stop")); ok {
		b.out.drainOnStop = yes
	}
	if v := b.keys.general("deregister"); v != "" {
		switch v {
		case DeregisterAlways, DeregisterOnSuccess, DeregisterNever:
			b.out.deregister = v
		default:
			b.drop("deregister", v, "want always, on-success or never")
		}
	}
	if v := b.keys.general("drain"); v != "" {
		if d, err := parseDuration(v); err == nil {
			b.out.drain, b.out.drainSet = min(d, b.r.cfg.DeadTTL), true
		} else {
			b.drop("drain", v, "want a duration")
		}
	}
}

// yesNo reads the value of a key that is true or false; ok is false when it says neither.
func (b *builder) yesNo(field, value string) (yes, ok bool) {
	yes, ok = parseBool(value)
	if !ok && value != "" {
		b.drop(field, value, "want true or false")
	}
	return yes, ok
}

// drop notes a key that is not taken, with the label or variable that has it. Values that may hold
// secrets are not repeated.
func (b *builder) drop(field, value, why string) {
	name := keyPrefix + strings.ToUpper(field)
	for i, st := range b.keys.byField[field] {
		if i == 0 || strings.TrimSpace(st.value) == strings.TrimSpace(value) {
			name = st.from()
		}
	}
	if strings.HasSuffix(field, "header") || strings.HasSuffix(field, "body") || looksSecret(field, value) {
		value = "..."
	}
	b.remark(name + "=" + cut(value, 80) + ": " + why)
}

// Labels of other systems.
const (
	labelComposeService = "com.docker.compose.service"
	labelComposeProject = "com.docker.compose.project"
	labelComposeOneOff  = "com.docker.compose.oneoff"
	labelSwarmService   = "com.docker.swarm.service.name"
	labelSwarmTask      = "com.docker.swarm.task.id"
	labelPodmanService  = "io.podman.compose.service"
	labelPodmanProject  = "io.podman.compose.project"
	labelKubeContainer  = "io.kubernetes.container.name"
	labelKubePod        = "io.kubernetes.pod.name"
	labelNomadAlloc     = "com.hashicorp.nomad.alloc_id"
)

// hidden says why a container is not looked at, if so.
func (b *builder) hidden() (reason, detail string) {
	l := b.c.labels
	named := len(b.keys.byField["name"]) > 0
	switch {
	case l[labelKubeContainer] == "POD":
		return ReasonKubernetes, "sandbox of a Kubernetes pod"
	case (l[labelKubeContainer] != "" || l[labelKubePod] != "") && !b.r.cfg.Kubernetes:
		return ReasonKubernetes, "Kubernetes registers its containers itself; see the kubernetes setting"
	case l[labelNomadAlloc] != "" && !named:
		return ReasonNomad, "Nomad registers its allocations itself; SERVICE_NAME overrides that"
	case strings.EqualFold(l[labelComposeOneOff], "true") && !named:
		return ReasonOneOff, "started by docker compose run; SERVICE_NAME overrides that"
	case !b.r.filter.match(b.c):
		return ReasonConstraint, "the constraint " + b.r.cfg.Constraint + " does not hold"
	}
	return "", ""
}

// refused applies the keys that keep one port out.
func (b *builder) refused(p portProto) (reason, detail string) {
	if st := b.keys.find(p, "ignore"); st != nil && st.value != "" {
		yes, known := parseBool(st.value)
		if b.keys.compat || !known || yes {
			return ReasonIgnored, st.from()
		}
		b.remark(st.from() + "=" + cut(st.value, 80) + ": registered all the same; gliderlabs/registrator took any text for yes")
	}
	if b.r.cfg.Explicit && b.keys.value(p, "name") == "" {
		return ReasonExplicit, "no SERVICE_NAME for this port"
	}
	return "", ""
}

// portless registers a container that has no port when it asks for that.
func (b *builder) portless(take *[]accepted) {
	yes, ok := b.yesNo("portless", b.keys.general("portless"))
	if !ok {
		yes, _ = b.yesNo("force_register", b.keys.general("force_register"))
	}
	rep := berth.PortReport{Port: "0/tcp"}
	if !yes {
		b.out.reason = ReasonNoPorts
		if b.out.detail == "" {
			b.out.detail = "no port is exposed or published; SERVICE_PORTLESS=true registers without one"
		}
		return
	}
	p := portProto{0, "tcp"}
	if b.r.cfg.Explicit && b.keys.value(p, "name") == "" {
		b.out.reason, b.out.detail = ReasonExplicit, "no SERVICE_NAME"
		return
	}
	t, reason, detail := b.portlessTarget()
	if reason != "" {
		b.out.reason, b.out.detail = reason, detail
		return
	}
	*take = append(*take, accepted{p, t, rep})
}

// instances adds the services of one port: one per name in its NAME list.
func (b *builder) instances(a *accepted, group bool) {
	cfg := &b.r.cfg
	if b.full {
		a.report.Reason, a.report.Detail = ReasonTooMuch, tooMuchDetail
		b.out.ports = append(b.out.ports, a.report)
		return
	}
	names, nameFrom := b.names(a.port, group)
	for i, name := range names {
		rep := a.report
		rep.From = map[string]string{"name": nameFrom}
		if why := b.nameRefused(name.dns); why != "" {
			rep.Reason, rep.Detail = ReasonName, why
			b.out.ports = append(b.out.ports, rep)
			continue
		}
		id, from, problem := b.id(a, group, name.dns, i)
		rep.From["id"] = from
		if problem != "" {
			rep.Reason, rep.Detail = ReasonBadID, problem
			b.out.ports = append(b.out.ports, rep)
			continue
		}
		in := instance{port: a.port, report: len(b.out.ports), own: a.target.own}
		in.def = berth.ServiceDefinition{ID: id, Name: name.dns, Address: a.target.host, Port: a.target.port,
			TaggedAddresses: a.target.tagged}
		vars := b.variables(&in, a)
		in.def.Tags = b.tags(a.port, vars)
		in.def.Meta = b.meta(a.port, name)
		b.weights(&in.def, a.port)
		if yes, ok := b.yesNo("enable_tag_override", b.keys.value(a.port, "enable_tag_override")); ok {
			in.def.EnableTagOverride = yes
		}
		b.checks(&in, vars)
		in.useHealth = cfg.DockerHealth == "auto"
		if yes, ok := b.yesNo("check_docker_health", b.keys.value(a.port, "check_docker_health")); ok {
			in.useHealth = yes
		}
		for _, f := range []string{"tags", "ip", "address", "port", "network"} {
			if st := b.keys.find(a.port, f); st != nil {
				rep.From[f] = st.from()
			}
		}
		if b.tooMuch(&in.def) {
			rep.Reason, rep.Detail = ReasonTooMuch, tooMuchDetail
			b.out.ports = append(b.out.ports, rep)
			return
		}
		rep.ServiceID, rep.Service, rep.Tags = id, name.dns, in.def.Tags
		rep.Address, rep.Detail = hostPort(a.target.host, a.target.port), a.target.detail
		b.out.ports = append(b.out.ports, rep)
		b.out.instances = append(b.out.instances, in)
	}
}
