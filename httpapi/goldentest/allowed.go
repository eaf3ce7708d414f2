package goldentest

import (
	"regexp"
	"strings"
)

// Allowance is a difference that is meant, with the reason.
type Allowance struct {
	Path   string // expression for the request's path with its query
	Where  string // expression for the place
	Reason string
}

// Allowed are the differences that are meant.
func Allowed() []Allowance {
	return []Allowance{
		{`filter=\(\(`, `^status$`, "a bad filter is the client's mistake: 400, not 500"},
		{`filter=\(\(`, `^text$`, "the parser's own words differ between its versions"},
		{`filter=\(\(`, `^header\.X-Consul-`, "a refused request reads nothing, so it has no index"},
		{`dc=nowhere`, `^header\.(X-Consul-|Vary)`, "a request that could not be placed reads nothing"},
		{`/v1/query`, `\.(SkipLocalDatacenter|IncludeAll)$`, "members of the fork that was recorded, not of Consul"},
		{`/v1/agent/members`, `\.Tags(\.|$)`, "gossip tags are the agents' own language"},
		{`/v1/agent/members`, `\.(Protocol|Delegate)(Min|Max|Cur)$`, "versions of the gossip libraries"},
		{`/v1/agent/members`, `\.(Port|Addr)$`, "ports and addresses are the test's"},
		{`/v1/(status|operator|catalog/nodes)`, `\.?(Address|Node|lan|wan|lan_ipv4|wan_ipv4)$`, "ports and addresses are the test's"},
		{`^/v1/status/(leader|peers)$`, `^body(\[0\])?$`, "ports and addresses are the test's"},
		{`/v1/coordinate`, `\.Vec\[`, "positions move"},
		{`^/v1/coordinate/nodes$`, `^body$`, "a server's own position is there from the start, not after a while"},
		{`^/v1/agent/checks$`, `^body\.service:many:\d\.Output$`, "checks run at once, not after a random part of their interval"},
		{`/v1/query/none/execute`, `^header\.X-Consul-Knownleader$`, "there is a leader, whether or not there is the query"},
	}
}

func allowed(d Difference) bool {
	for _, a := range Allowed() {
		if regexp.MustCompile(a.Path).MatchString(d.Path) && regexp.MustCompile(a.Where).MatchString(strings.TrimSpace(d.Where)) {
			return true
		}
	}
	return false
}
