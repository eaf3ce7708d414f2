package registrator

import (
	"path"
	"strconv"
	"strings"
	"unicode"

	"berth"
)

// serviceName is a name as registered and, when that had to be changed for DNS, as given.
type serviceName struct {
	dns      string
	original string
}

const (
	maxNameBytes  = 63
	maxLegacyName = 255 // of a name that the compat profile takes as it is
	maxNames      = 16  // of one port
)

// hasControl reports whether s holds control characters, which no name or ID may have.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, unicode.IsControl)
}

// names are the service names for port p and what decided them.
func (b *builder) names(p portProto, group bool) ([]serviceName, string) {
	st := b.keys.find(p, "name")
	var list []string
	from := "default"
	switch {
	case st != nil && st.value != "" && b.keys.compat:
		list, from = []string{st.value}, st.from()
	case st != nil && st.value != "":
		for _, n := range splitList(st.value) {
			if n = strings.TrimSpace(n); n != "" {
				list = append(list, n)
			}
		}
		from = st.from()
	}
	if len(list) > maxNames {
		b.remark(st.from() + ": only the first " + strconv.Itoa(maxNames) + " names are taken")
		list = list[:maxNames]
	}
	if len(list) == 0 {
		var base string
		base, from = b.defaultName()
		list = []string{base}
	}
	suffix := ""
	if st == nil || st.scope.general() {
		suffix = b.suffix(p, group)
	}
	out := make([]serviceName, 0, len(list))
	seen := map[string]bool{}
	for _, n := range list {
		sn := b.dnsName(n + suffix)
		if !seen[sn.dns] {
			seen[sn.dns] = true
			out = append(out, sn)
		}
	}
	return out, from
}

func (b *builder) suffix(p portProto, group bool) string {
	if p.port == 0 {
		return ""
	}
	s := "-" + strconv.Itoa(p.port)
	switch b.r.cfg.NamePortSuffix {
	case "always":
		return s
	case "never":
		return ""
	case "proto":
		if p.proto != "tcp" {
			s += "-" + p.proto
		}
	}
	if !group {
		return ""
	}
	return s
}

// defaultName is the name of a container that gives none.
func (b *builder) defaultName() (name, from string) {
	compose := b.c.labels[labelComposeService]
	if compose == "" {
		compose = b.c.labels[labelPodmanService]
	}
	if b.keys.compat && b.r.cfg.DefaultName == "image" {
		return legacyImageName(b.c.image), "image"
	}
	image := imageName(b.c.image)
	switch b.r.cfg.DefaultName {
	case "container":
		return b.c.name, "container name"
	case "auto":
		if s := b.c.labels[labelSwarmService]; s != "" {
			return s, "label " + labelSwarmService
		}
		if compose != "" {
			return compose, "compose service"
		}
	case "compose":
		if compose != "" {
			return compose, "compose service"
		}
	}
	switch {
	case image != "":
		return image, "image"
	case compose != "":
		return compose, "compose service"
	case imageName(b.c.repoTag) != "":
		return imageName(b.c.repoTag), "image tag"
	}
	return b.c.name, "container name"
}

// imageName is the last part of an image reference's path, without registry, tag and digest;
// "" for a bare ID or digest.
func imageName(ref string) string {
	if isBareImage(ref) {
		return ""
	}
	ref, _, _ = strings.Cut(ref, "@")
	ref = ref[strings.LastIndexByte(ref, '/')+1:]
	ref, _, _ = strings.Cut(ref, ":")
	return ref
}

// imageTag is the tag of an image reference, "" without one.
func imageTag(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	_, tag, _ := strings.Cut(ref[strings.LastIndexByte(ref, '/')+1:], ":")
	return tag
}

// isBareImage reports whether an image was given by ID or digest only.
func isBareImage(ref string) bool {
	hex, digest := strings.CutPrefix(ref, "sha256:")
	if len(hex) < 12 || (!digest && len(hex) != 64) {
		return ref == ""
	}
	return strings.Trim(hex, "0123456789abcdef") == ""
}

// legacyImageName is what gliderlabs/registrator took: the last path element up to a colon.
func legacyImageName(ref string) string {
	ref = ref[strings.LastIndexByte(ref, '/')+1:]
	ref, _, _ = strings.Cut(ref, ":")
	return ref
}

// dnsName makes a name usable as a DNS label; the compat profile takes it as it is, unless no
// catalog could hold it.
func (b *builder) dnsName(name string) serviceName {
	if b.keys.compat && len(name) <= maxLegacyName && !hasControl(name) {
		return serviceName{dns: name, original: name}
	}
	out := make([]byte, 0, len(name))
	for _, c := range name {
		switch {
		case len(out) == maxNameBytes:
		case c >= 'A' && c <= 'Z':
			out = append(out, byte(c)+'a'-'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			out = append(out, byte(c))
		default:
			out = append(out, '-')
		}
	}
	dns := strings.Trim(string(out), "-")
	if dns == "" {
		dns = "unnamed"
	}
	if dns != name && !strings.EqualFold(dns, name) {
		b.remark("service name " + strconv.Quote(cut(name, 80)) + " is no DNS label, registered as " + dns)
	}
	return serviceName{dns: dns, original: name}
}

// remark notes a text for the report, once.
func (b *builder) remark(text string) {
	if b.keys.remarks[text] || len(b.keys.remarks) >= maxKeys {
		return
	}
	if b.keys.remarks == nil {
		b.keys.remarks = map[string]bool{}
	}
	b.keys.remarks[text] = true
	b.keys.dropped = append(b.keys.dropped, text)
}

// nameRefused says why a service name is not taken, "" when it is.
func (b *builder) nameRefused(name string) string {
	if strings.EqualFold(name, berth.ConsulServiceName) {
		return "the service " + berth.ConsulServiceName + " is the cluster's own servers; SERVICE_NAME gives another name"
	}
	if len(b.r.cfg.AllowNames) == 0 {
		return ""
	}
	for _, g := range b.r.cfg.AllowNames {
		if ok, err := path.Match(g, name); err == nil && ok {
			return ""
		}
	}
	return "service name " + name + " is not in the list of allowed names"
}

const maxIDBytes = 512

// id is the instance's ID; the nth name of a port gets its name appended.
func (b *builder) id(a *accepted, group bool, name string, nth int) (id, from, problem string) {
	p := a.port
	port := ":" + strconv.Itoa(p.port)
	proto := ""
	if p.proto != "tcp" {
		proto = ":" + p.proto
	}
	id, from = b.r.cfg.Node+":"+b.c.name+port+proto, "default"
	if st := b.keys.find(p, "id"); st != nil && strings.TrimSpace(st.value) != "" {
		id, from = strings.TrimSpace(st.value), st.from()
		if st.scope.general() && group {
			id += port + proto // else the ports would overwrite one another
		}
		if !on(b.r.cfg.AllowCustomID) && !strings.HasPrefix(id, b.r.cfg.Node+":") {
			return "", from, "IDs outside " + b.r.cfg.Node + ": are not allowed here"
		}
	}
	id += a.target.suffix
	if nth > 0 {
		id += ":" + name
	}
	switch {
	case len(id) > maxIDBytes:
		return "", from, "the ID is longer than 512 bytes"
	case hasControl(id):
		return "", from, "the ID holds control characters"
	case id == berth.ConsulServiceID:
		return "", from, "the ID " + id + " is that of this host's own server"
	}
	return id, from, ""
}
