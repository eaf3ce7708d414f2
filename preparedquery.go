package berth

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// PreparedQuery is a stored query for a service, with failover to other datacenters.
type PreparedQuery struct {
	ID          string
	Name        string
	Session     string
	Token       string
	Template    QueryTemplate
	Service     ServiceQuery
	DNS         QueryDNSOptions
	CreateIndex uint64
	ModifyIndex uint64
}

// QueryTemplate makes one prepared query answer for a family of names.
type QueryTemplate struct {
	Type            string // "" or "name_prefix_match"
	Regexp          string
	RemoveEmptyTags bool
}

// templatePlace is a place in a template, at the start of a text.
var templatePlace = regexp.MustCompile(`^\$\{\s*(?:(name\.full|name\.prefix|name\.suffix|agent\.segment)|match\(\s*([0-9]+)\s*\))\s*\}`)

// ExpandTemplate fills in the places of a template's text: ${name.full}, ${name.prefix},
// ${name.suffix}, ${agent.segment} and ${match(N)}, for which value is asked with "match" and N.
// $${ stands for ${ itself.
func ExpandTemplate(text string, value func(place string, n int) string) (string, error) {
	var out strings.Builder
	for rest := text; ; {
		before, _, found := strings.Cut(rest, "${")
		if !found {
			out.WriteString(rest)
			return out.String(), nil
		}
		rest = rest[len(before):]
		if literal, ok := strings.CutSuffix(before, "$"); ok {
			out.WriteString(literal + "${")
			rest = rest[len("${"):]
			continue
		}
		m := templatePlace.FindStringSubmatch(rest)
		if m == nil {
			return "", fmt.Errorf("Bad format '%s': use ${name.full}, ${name.prefix}, ${name.suffix} or ${match(N)}", text) //nolint:staticcheck // clients match this text
		}
		place, n := m[1], 0
		if place == "" {
			place = "match"
			n, _ = strconv.Atoi(m[2]) // too large: a group that no expression has
		}
		out.WriteString(before + value(place, n))
		rest = rest[len(m[0]):]
	}
}

// ServiceQuery says which instances a prepared query returns.
type ServiceQuery struct {
	Service        string
	Failover       QueryFailover
	OnlyPassing    bool
	IgnoreCheckIDs []string
	Near           string
	Tags           []string // "!tag" excludes
	NodeMeta       map[string]string
	ServiceMeta    map[string]string
	Connect        bool
}

// QueryFailover says where to look when the local datacenter has no instance.
type QueryFailover struct {
	NearestN    int
	Datacenters []string
	Targets     []QueryFailoverTarget
}

// QueryFailoverTarget is one explicit place to look.
type QueryFailoverTarget struct {
	Peer       string
	Datacenter string
}

// QueryDNSOptions are DNS settings of a prepared query; TTL is a Go duration or "".
type QueryDNSOptions struct {
	TTL string
}

// QuerySource is who executes a prepared query, for the order of its answer.
type QuerySource struct {
	Near  string     // node asked for by the client; "": the query's own Near
	Agent string     // node of the agent that was asked: "_agent" in the query's Near
	IP    netip.Addr // the client: "_ip" there
}

// QueryResult is what executing a prepared query gave.
type QueryResult struct {
	Service    string
	Nodes      []*HealthEntry
	DNS        QueryDNSOptions
	Datacenter string
	Failovers  int
}
