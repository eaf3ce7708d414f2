package registrator

import (
	"regexp"
	"strconv"
	"strings"

	"berth"
)

// Limits that Consul's clients know for service metadata.
const (
	maxMetaPairs = 64
	maxMetaKey   = 128
	maxMetaValue = 512
	reservedMeta = 9 // room for the reserved keys
)

// secretWord matches names of variables that tend to hold secrets, secretValue values that do
// whatever their name: a user with a password before a host, private keys, and the tokens of the
// usual services.
var (
	secretWord = regexp.MustCompile(`(?i)PASS|PWD|SECRET|TOKEN|CREDENTIAL|PRIVATE|AUTH|SALT|_(KEYS?|DSN)$|` +
		`(API|ACCESS|ENCRYPT|ENCRYPTION|SIGNING|MASTER|ACCOUNT|STORAGE|LICEN[CS]E|SSH|TLS|SSL)_?KEY`)
	secretValue = regexp.MustCompile(`^[^/@\s:]+:[^/@\s]+@|://[^/@\s]*:[^/@\s]+@|-----BEGIN |(?i:\b(password|passwd|pwd|secret|token)=)|` +
		`\beyJ[\w-]+\.eyJ|\b(AKIA|ASIA)[0-9A-Z]{16}|\b(gh[a-z]_|github_pat_|glpat-|xox[a-z]-|[sr]k[_-](live|test|proj|ant)?[_-]?)[\w-]{12}`)
)

// looksSecret reports whether a variable of this name and value is better not shown.
func looksSecret(name, value string) bool {
	value = strings.ReplaceAll(value, "@sha256:", ":") // image:tag@digest has no user
	return secretWord.MatchString(name) || secretValue.MatchString(value)
}

// meta is the instance's metadata: the attributes that pass the filter, and the reserved keys.
func (b *builder) meta(p portProto, name serviceName) map[string]string {
	out := map[string]string{}
	for _, explicit := range []bool{true, false} { // SERVICE_META_X goes before SERVICE_X
		for _, field := range b.keys.fields { // sorted, so that the cut is always the same
			if st := b.attribute(p, field); st != nil && b.isExplicit(st) == explicit {
				b.addMeta(out, st, explicit)
			}
		}
	}
	b.reserved(out, p, name)
	return out
}

func (b *builder) isExplicit(st *setting) bool {
	return strings.HasPrefix(st.field, "meta_") && b.keys.honoured(st)
}

// addMeta adds one attribute unless a filter or a limit is against it.
func (b *builder) addMeta(out map[string]string, st *setting, explicit bool) {
	if why := b.metaRefused(st, explicit); why != "" {
		b.keys.dropOnce(st, why)
		return
	}
	key := st.field
	if explicit {
		key = strings.TrimPrefix(key, "meta_")
	}
	key = metaKey(key)
	_, taken := out[key]
	switch {
	case key == "" || strings.HasPrefix(key, berth.MetaPrefix) || strings.HasPrefix(key, "consul-"):
		b.keys.dropOnce(st, "reserved metadata key")
	case len(key) > maxMetaKey || len(st.value) > maxMetaValue:
		b.keys.dropOnce(st, "longer than metadata may be (key 128, value 512 bytes)")
	case taken:
		b.keys.dropOnce(st, "another key gives this metadata")
	case len(out) >= maxMetaPairs-reservedMeta:
		b.keys.dropOnce(st, "more metadata than "+strconv.Itoa(maxMetaPairs-reservedMeta)+" keys")
	default:
		out[key] = st.value
	}
}

// attribute is the winning setting of field for p that is metadata and not a control word.
func (b *builder) attribute(p portProto, field string) *setting {
	list := b.keys.byField[field]
	for i := range list {
		st := &list[i]
		if !st.scope.covers(p) {
			continue
		}
		if b.keys.isControl(st) && !strings.HasPrefix(field, "meta_") {
			continue
		}
		if st.value == "" {
			return nil
		}
		return st
	}
	return nil
}

// metaRefused applies the filter.
func (b *builder) metaRefused(st *setting, explicit bool) string {
	if explicit {
		return ""
	}
	switch b.r.cfg.EnvMeta {
	case "none":
		return "metadata from keys is switched off (env_meta none)"
	case "labels":
		if !st.label {
			return "metadata from variables is switched off (env_meta labels)"
		}
	case "filtered":
		switch {
		case strings.HasPrefix(st.field, "check_"), st.field == "ip":
			return "not exported to metadata"
		case st.secret:
			return "it looks like a secret; a label exports it all the same"
		}
	}
	return ""
}

// dropOnce notes st once, though it may be met at several ports.
func (s *settings) dropOnce(st *setting, why string) {
	if st.noted {
		return
	}
	st.noted = true
	s.drop(st, why)
}

// metaKey replaces characters that a metadata key cannot have.
func metaKey(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			return c
		}
		return '_'
	}, s)
}

// reserved adds what users cannot set.
func (b *builder) reserved(out map[string]string, p portProto, name serviceName) {
	c := b.c
	out[berth.MetaSource] = berth.SourceDocker
	out[berth.MetaOwner] = b.r.ownerOf(c)
	out[berth.MetaContainer] = short(c.id)
	out[berth.MetaStarted] = c.state.startedText
	out[berth.MetaEngine] = b.r.state.engineID
	if c.image != "" {
		out[berth.MetaImage] = cut(c.image, maxMetaValue)
	}
	if p.port > 0 {
		out[berth.MetaProto] = p.proto
	}
	if name.original != name.dns {
		out[berth.MetaOrigName] = cut(name.original, maxMetaValue)
	}
	if v := b.keys.value(p, "ttl"); v != "" {
		if d, err := parseDuration(v); err == nil {
			out[berth.MetaDNSTTL] = d.String()
		} else {
			b.drop("ttl", v, err.Error())
		}
	}
}

// ownerOf names one incarnation of a container on one engine.
func (r *Registrator) ownerOf(c *inspected) string {
	return r.state.engineID + "/" + c.id + "/" + c.state.startedText
}

// tags are the container's own, those of the configuration, and the protocol when not TCP.
func (b *builder) tags(p portProto, vars variables) []string {
	var out []string
	seen := map[string]bool{}
	add := func(list []string) {
		for _, t := range list {
			if !b.keys.compat {
				if t = strings.TrimSpace(t); t == "" || seen[t] {
					continue
				}
			}
			seen[t] = true
			out = append(out, t)
		}
	}
	own := b.keys.value(p, "tags")
	if own != "" && b.r.cfg.AllowTagTemplates {
		text, err := runTagTemplate(own, b.c.detail)
		if err != nil {
			b.drop("tags", own, err.Error())
			own = ""
		} else {
			own = text
		}
	}
	if !b.keys.compat {
		own = vars.expand(own)
	}
	add(splitList(own))
	if b.r.tags.active() {
		if b.c.tagsErr != nil {
			b.remark("-tags: " + b.c.tagsErr.Error())
		} else {
			add(splitList(b.c.tagsText))
		}
	}
	if b.r.cfg.AutoTags {
		add(b.autoTags())
	}
	if p.proto == "udp" || (p.proto == "sctp" && !b.keys.compat) {
		add([]string{p.proto})
	}
	return out
}

func (b *builder) autoTags() []string {
	tags := []string{imageTag(b.c.image), b.c.labels[labelComposeProject], b.c.labels[labelPodmanProject], short(b.c.id)}
	if b.c.hostname != short(b.c.id) {
		tags = append(tags, b.c.hostname)
	}
	out := tags[:0]
	for _, t := range tags {
		if t != "" {
			out = append(out, t)
		}
	}
	return out
}

// weights sets the SRV weights.
func (b *builder) weights(def *berth.ServiceDefinition, p portProto) {
	read := func(field string, least int) (int, bool) {
		v := b.keys.value(p, field)
		if v == "" {
			return 1, false
		}
		n, err := strconv.Atoi(strings.TrimSpace(v))
		if err != nil || n < least || n > 65535 {
			b.drop(field, v, "want a number from "+strconv.Itoa(least)+" to 65535")
			return 1, false
		}
		return n, true
	}
	passing, a := read("weight", 1)
	warning, c := read("weight_warning", 0)
	if a || c {
		def.Weights = &berth.Weights{Passing: passing, Warning: warning}
	}
}
