package httpapi

import (
	"fmt"
	"net/http"
	"slices"

	"berth"
)

// agentJoin answers PUT /v1/agent/join/<address>.
func agentJoin(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing address to join")
	}
	_, err := c.s.cfg.Store.Join([]string{c.tail}, c.form.Get("wan") != "")
	return nil, err
}

// agentLeave answers PUT /v1/agent/leave: the agent leaves the cluster and then ends.
func agentLeave(c *call) (any, error) {
	leave := c.s.cfg.Leave
	if leave == nil {
		leave = c.s.cfg.Store.Leave
	}
	return nil, leave(c.ctx) // leaving stops this server, too: a write's context does not end with it
}

// agentForceLeave answers PUT /v1/agent/force-leave/<node>.
func agentForceLeave(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing node name")
	}
	prune, err := c.flag("prune")
	if err != nil {
		return nil, berth.Invalid("Invalid value for ?prune")
	}
	return nil, c.s.cfg.Store.ForceLeave(c.tail, prune, c.has("wan"))
}

// agentReload answers PUT /v1/agent/reload.
func agentReload(c *call) (any, error) {
	if c.s.cfg.Reload == nil {
		return nil, httpError(http.StatusNotFound, "This agent has no configuration to reload")
	}
	return nil, c.s.cfg.Reload(c.ctx)
}

// tokenKinds are the tokens an agent holds, by the names that clients use.
func tokenKinds() map[string]string {
	return map[string]string{
		"default": "default", "acl_token": "default",
		"agent": "agent", "acl_agent_token": "agent",
		"agent_recovery": "agent_recovery", "agent_master": "agent_recovery", "acl_agent_master_token": "agent_recovery",
		"replication": "replication", "acl_replication_token": "replication",
		"config_file_service_registration": "config_file_service_registration",
		"dns":                              "dns",
	}
}

// agentToken answers PUT /v1/agent/token/<kind>.
func agentToken(c *call) (any, error) {
	if c.s.cfg.Tokens == nil {
		return nil, errACLDisabled()
	}
	kind := tokenKinds()[c.tail]
	if kind == "" {
		return nil, httpError(http.StatusNotFound, fmt.Sprintf("Token %q is unknown", c.tail))
	}
	var body struct{ Token string }
	if err := c.decode(&body); err != nil {
		return nil, err
	}
	return nil, c.s.cfg.Tokens.SetToken(kind, body.Token)
}

func errACLDisabled() error { return httpError(http.StatusUnauthorized, "ACL support disabled") }

// aclDisabled answers everything below /v1/acl while access control is off.
func aclDisabled(*call) (any, error) { return nil, errACLDisabled() }

// aclRoutes are the paths of access control.
func aclRoutes() []route {
	var out []route
	add := func(methods string, paths ...string) {
		for _, p := range paths {
			out = append(out, route{path: "/v1/acl/" + p, methods: methods, access: Access{Resource: "acl", Verb: Read}, handle: aclDisabled, tenancy: tenancyIgnored})
		}
	}
	add("GET", "replication", "policies", "roles", "binding-rules", "auth-methods", "tokens", "templated-policies", "policy/name/", "role/name/", "token/self", "templated-policy/name/")
	add("PUT", "bootstrap", "policy", "role", "binding-rule", "auth-method", "token")
	add("POST", "login", "logout", "templated-policy/preview/")
	add("GET,PUT,DELETE", "policy/", "role/", "binding-rule/", "auth-method/", "token/")
	return slices.Clip(out)
}
