package httpapi

import (
	"fmt"
	"strings"
)

// absent are the endpoints of Consul that berth does not have, with the reason. They are
// answered with 404, by which clients know that a Consul is too old for them.
func absent() [][2]string {
	const mesh, peers = "service mesh", "cluster peering"
	return [][2]string{
		{"/v1/agent/connect/authorize", mesh},
		{"/v1/agent/connect/ca/leaf/", mesh},
		{"/v1/agent/connect/ca/roots", mesh},
		{"/v1/catalog/connect/", mesh},
		{"/v1/catalog/gateway-services/", mesh},
		{"/v1/config", mesh},
		{"/v1/connect/ca/configuration", mesh},
		{"/v1/connect/ca/roots", mesh},
		{"/v1/connect/intentions", mesh},
		{"/v1/discovery-chain/", mesh},
		{"/v1/exported-services", peers},
		{"/v1/health/connect/", mesh},
		{"/v1/health/ingress/", mesh},
		{"/v1/imported-services", peers},
		{"/v1/internal/service-virtual-ip", mesh},
		{"/v1/internal/ui/services", "the pages of Consul's own web UI"},
		{"/v1/namespaces", "enterprise edition"},
		{"/v1/operator/area", "enterprise edition"},
		{"/v1/operator/license", "enterprise edition"},
		{"/v1/operator/segment", "enterprise edition"},
		{"/v1/operator/utilization", "enterprise edition"},
		{"/v1/partitions", "enterprise edition"},
		{"/v1/peering/", peers},
		{"/v1/peerings", peers},
	}
}

// places says in words where a request runs.
func (p placement) String() string {
	return [...]string{"agent", "agent, or dc=", "any server", "by read mode", "leader"}[p]
}

// Reference is docs/http-api.md: every endpoint of Consul and what berth does with it.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	row := "| %s | %s | %s | %s |\n"
	for _, r := range routes() {
		status := "in"
		if strings.HasPrefix(r.path, "/v1/acl/") {
			status = "401"
		}
		fmt.Fprintf(&b, row, "`"+r.path+"`", strings.ReplaceAll(r.methods, ",", ", "), r.place, status)
	}
	b.WriteString(referenceAbsent)
	for _, a := range absent() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", a[0], a[1])
	}
	return b.String()
}

const referenceHead = `# HTTP API

berth answers Consul's ` + "`/v1`" + ` on port 8500, as Consul 1.21 does, so Consul's clients work as they are. ` + "`make compat`" + ` runs
them against the binary: the official Go client with its own tests, consul-template, Prometheus' discovery, Patroni and
python-consul. Consul's documentation of the endpoints holds for those that are in; what differs on purpose is in
httpapi/DESIGN.md. ` + "`/v1/agent/explain`" + ` is berth's own: what became of each container, and why.

- A path that ends in / has a name behind it. HEAD is taken where GET is, and OPTIONS everywhere.
- where: **agent** is the one that was asked; **by read mode** is the leader, or any replica with ` + "`?stale`" + `; **dc=** names another datacenter.
- status: **in** works; **401** answers as a Consul with access control switched off; the rest, below, is a **404**.

This page is made from the table of routes: ` + "`go test ./httpapi -run Reference -update`" + `.

| endpoint | methods | where | status |
|---|---|---|---|
`

const referenceAbsent = `
## Not there

Answered with 404 and Consul's text for unknown endpoints.

| endpoint | belongs to |
|---|---|
`
