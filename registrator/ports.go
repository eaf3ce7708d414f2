package registrator

import (
	"strings"
)

// networkKind sorts network modes by where ports and addresses come from.
func (c *inspected) networkKind() string {
	switch m, _, _ := strings.Cut(c.networkMode, ":"); m {
	case "host", "none", "container":
		return m
	case "pasta", "slirp4netns":
		return "rootless"
	}
	return "network"
}

// bindings are where a port is published now.
func (b *builder) bindings(p portProto) []binding {
	if list := b.net.ports[p]; len(list) > 0 {
		return list
	}
	if b.net.networkKind() == "rootless" { // Podman shows none under NetworkSettings then
		return b.net.wanted[p]
	}
	return nil
}

// candidates are the ports to be considered, sorted.
func (b *builder) candidates() []portProto {
	if v := b.keys.general("ports"); v != "" {
		list, err := parsePortList(v)
		if err == nil {
			return list
		}
		b.drop("ports", v, err.Error())
	}
	set := map[portProto]bool{}
	switch b.net.networkKind() {
	case "host":
		if b.r.state.info.rootless {
			b.out.detail = "host networking of a rootless engine is not the host's network"
			return nil
		}
		b.hostPorts(set)
	case "none", "container":
		if b.keys.general("ip") != "" || b.keys.general("address") != "" {
			b.addExposed(set)
			b.addScoped(set, true)
		} else {
			b.out.detail = "the container has no network"
		}
	default:
		b.networkPorts(set)
	}
	return sortedPorts(set)
}

func (b *builder) addExposed(set map[portProto]bool) {
	for _, p := range b.c.exposed {
		set[p] = true
	}
}

// networkPorts: what is published or exposed, and what a key names.
func (b *builder) networkPorts(set map[portProto]bool) {
	for p := range b.net.ports {
		set[p] = true
	}
	if b.net.networkKind() == "rootless" {
		for p := range b.net.wanted {
			set[p] = true
		}
	}
	if b.net != b.c {
		b.onlyOwn(set)
	} else {
		b.addExposed(set)
	}
	if !b.keys.compat {
		b.addScoped(set, false)
	}
}

// onlyOwn leaves of the network owner's ports those that this container exposes or names, if
// it does so for any: others belong to the owner or to its other guests.
func (b *builder) onlyOwn(set map[portProto]bool) {
	own := map[portProto]bool{}
	b.addExposed(own)
	b.addScoped(own, false)
	common := map[portProto]bool{}
	for p := range own {
		if set[p] {
			common[p] = true
		}
	}
	if len(common) == 0 {
		return
	}
	for p := range set {
		if !common[p] {
			delete(set, p)
		}
	}
}

// hostPorts: a container in the host's network has no bindings to go by.
func (b *builder) hostPorts(set map[portProto]bool) {
	if b.r.cfg.HostModePorts == "exposed" {
		b.addExposed(set)
		return
	}
	b.addScoped(set, true)
	for p := range b.net.wanted {
		set[p] = true
	}
	if len(set) == 0 && len(b.c.exposed) == 1 {
		b.addExposed(set)
	}
	if len(set) == 0 && len(b.c.exposed) > 1 {
		b.out.detail = "several ports are exposed in host mode; name them by SERVICE_PORTS or SERVICE_<port>_NAME"
	}
}

// addScoped adds ports that a key with a single port names. any: every field counts, else only
// NAME does.
func (b *builder) addScoped(set map[portProto]bool, any bool) {
	for field, list := range b.keys.byField {
		if field != "name" && !any {
			continue
		}
		for i := range list {
			sc := list[i].scope
			if sc.general() || sc.lo != sc.hi || list[i].value == "" {
				continue
			}
			if sc.proto != "" {
				set[portProto{sc.lo, sc.proto}] = true
				continue
			}
			b.addAnyProto(set, sc.lo)
		}
	}
}

// addAnyProto adds a port under the protocols that it is known with, else as TCP.
func (b *builder) addAnyProto(set map[portProto]bool, port int) {
	found := false
	for _, proto := range []string{"tcp", "udp", "sctp"} {
		p := portProto{port, proto}
		_, inPorts := b.net.ports[p]
		_, inWanted := b.net.wanted[p]
		if inPorts || inWanted || exposes(b.c, p) {
			set[p], found = true, true
		}
	}
	if !found {
		set[portProto{port, "tcp"}] = true
	}
}

func exposes(c *inspected, p portProto) bool {
	for _, e := range c.exposed {
		if e == p {
			return true
		}
	}
	return false
}
