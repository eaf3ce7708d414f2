package registrator

import (
	"sort"
	"strconv"

	"berth"
)

// Limits on what one container may ask for, so that none can crowd out the others: everything of
// a host goes to the catalog in common writes.
const (
	maxPorts      = 4096    // looked at
	maxDefsBytes  = 1 << 20 // of all its definitions
	maxChecks     = 128     // run for it
	maxTimeout    = checkIntervalMax
	tooMuchDetail = "the container asks for more than 1 MiB of definitions; give it fewer ports, tags or metadata"
)

const tooManyChecks = "a container may have 128 checks in all; those of its further ports are left out"

// fewer cuts a list of ports that is too long; published ones stay first.
func (b *builder) fewer(ports []portProto) []portProto {
	if len(ports) <= maxPorts {
		return ports
	}
	sort.SliceStable(ports, func(i, j int) bool { return len(b.bindings(ports[i])) > 0 && len(b.bindings(ports[j])) == 0 })
	b.remark("of " + strconv.Itoa(len(ports)) + " ports only " + strconv.Itoa(maxPorts) + " are looked at")
	ports = ports[:maxPorts]
	sort.Slice(ports, func(i, j int) bool { return ports[i].less(ports[j]) })
	return ports
}

// tooMuch adds def to what the container has asked for, and reports whether that is too much.
func (b *builder) tooMuch(def *berth.ServiceDefinition) bool {
	n := len(def.ID) + len(def.Name)
	for _, t := range def.Tags {
		n += len(t)
	}
	for k, v := range def.Meta {
		n += len(k) + len(v)
	}
	for _, c := range def.Checks {
		n += len(c.ID) + len(c.Name) + len(c.Notes)
	}
	b.bytes += n
	b.full = b.bytes > maxDefsBytes
	return b.full
}
