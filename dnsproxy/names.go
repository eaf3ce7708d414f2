package dnsproxy

import "strings"

// kind is what a name under a catalog domain asks about.
type kind int

const (
	kindNone    kind = iota // no such name
	kindEmpty               // exists, has no records: an empty non-terminal
	kindApex                // the domain itself
	kindNS                  // ns.<domain>: this host
	kindService             // service and tag
	kindNode
	kindQuery // prepared query
	kindAddr  // hexadecimal address
)

// zoneName is a parsed catalog name.
type zoneName struct {
	kind kind
	name string // service, node, query or hexadecimal digits
	tag  string
	open bool   // _tag.service: names of the form _service._tag may be below it
	dc   string // "" is the local datacenter
	zone *domain
	at   int // offset of zone in the question's name
}

// parseZoneName reads the labels left of the domain (spec 1.1). The first keyword from the
// right is the kind; labels left of it are name parts, labels right of it the datacenter.
func parseZoneName(labels []string) zoneName {
	for _, l := range labels {
		if strings.IndexFunc(l, func(r rune) bool { return r <= ' ' || r == '.' || r == 0x7f }) >= 0 {
			return zoneName{}
		}
	}
	if len(labels) == 0 {
		return zoneName{kind: kindApex}
	}
	for i := len(labels) - 1; i >= 0; i-- {
		var n zoneName
		parts := labels[:i]
		switch labels[i] {
		case "service":
			n = serviceName(parts)
		case "node":
			n = zoneName{kind: kindNode, name: strings.Join(parts, ".")}
		case "query":
			n = queryName(parts)
		case "addr":
			n = zoneName{kind: kindAddr, name: strings.Join(parts, ".")}
		case "connect", "virtual", "ingress": // service mesh: nothing is ever there
			return zoneName{}
		default:
			continue
		}
		if i == 0 {
			n = zoneName{kind: kindEmpty}
		}
		return n.locate(labels[i+1:])
	}
	return bareName(labels)
}

// bareName is a name without a keyword: ns, a datacenter, or the _service._proto form.
func bareName(labels []string) zoneName {
	for i := len(labels) - 1; i >= 0; i-- {
		if strings.HasPrefix(labels[i], "_") {
			return serviceName(labels[:i+1]).locate(labels[i+1:])
		}
	}
	if len(labels) == 1 && labels[0] == "ns" {
		return zoneName{kind: kindNS}
	}
	if len(labels) == 1 && labels[0] == "dc" {
		return zoneName{}
	}
	n := zoneName{kind: kindEmpty}
	return n.locate(labels)
}

// locate reads the labels right of the keyword: nothing, dc, or dc.dc.
func (n zoneName) locate(rest []string) zoneName {
	switch {
	case len(rest) == 0:
	case len(rest) == 1, len(rest) == 2 && rest[1] == "dc":
		n.dc = rest[0]
	default:
		return zoneName{}
	}
	return n
}

// serviceName reads [tag.]service or _service._tag. Of the second form only _tcp is no tag.
func serviceName(parts []string) zoneName {
	n := len(parts)
	if n == 0 {
		return zoneName{kind: kindEmpty}
	}
	if n == 2 && parts[0][0] == '_' && parts[1][0] == '_' {
		z := zoneName{kind: kindService, name: parts[0][1:], tag: parts[1][1:]}
		if z.tag == "tcp" {
			z.tag = ""
		}
		return z
	}
	if n == 1 && parts[0] == "_tcp" {
		return zoneName{kind: kindEmpty}
	}
	return zoneName{kind: kindService, name: parts[n-1], tag: strings.Join(parts[:n-1], "."), open: n == 1 && parts[0][0] == '_'}
}

// queryName reads name or _name._tcp.
func queryName(parts []string) zoneName {
	n := len(parts)
	if n == 0 {
		return zoneName{kind: kindEmpty}
	}
	if n > 1 && parts[0][0] == '_' && parts[n-1][0] == '_' {
		parts = parts[:n-1]
		return zoneName{kind: kindQuery, name: strings.Join(parts, ".")[1:]}
	}
	return zoneName{kind: kindQuery, name: strings.Join(parts, ".")}
}
