package httpapi

import (
	"net/http"

	"berth"
)

// agentExplain answers GET /v1/agent/explain: what became of each container of this host.
func agentExplain(c *call) (any, error) {
	if c.s.cfg.Explainer == nil {
		return nil, httpError(http.StatusNotFound, "Docker registration is not enabled on this agent")
	}
	container := c.form.Get("container")
	reports := c.s.cfg.Explainer.Explain(container)
	if container != "" && len(reports) == 0 {
		return nil, httpError(http.StatusNotFound, "No container matches "+container)
	}
	if reports == nil {
		reports = []berth.ContainerReport{}
	}
	return reports, nil
}
