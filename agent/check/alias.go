package check

import (
	"context"
	"fmt"
	"time"

	"berth"
	"berth/internal/backoff"
)

// Nodes reads what the catalog has of a node. It waits until that is newer than q.MinIndex;
// nil means that the node is not known.
type Nodes interface {
	Node(ctx context.Context, name string, q berth.QueryOptions) (*berth.NodeServices, berth.QueryMeta, error)
}

// aliasWait is how long one look at another node waits for news.
const aliasWait = time.Minute

// AliasOf is the state of an alias check: the worst among checks, which are those of the node
// and of the service that it stands for. found says whether that target exists.
func AliasOf(checks []*berth.Check, service, node string, found bool) Result {
	if !found {
		if service == "" {
			return critical("Node %s could not be found", node)
		}
		return critical("Service %s could not be found on node %s", service, node)
	}
	r := passing("No checks found.")
	if len(checks) > 0 {
		r.Output = "All checks passing."
	}
	var worst *berth.Check
	for _, c := range checks {
		if rank(c.Status) > rank(r.Status) || (worst != nil && c.Status == worst.Status && c.CheckID < worst.CheckID) {
			worst, r.Status = c, c.Status
		}
	}
	if worst != nil {
		r.Output = Truncate(fmt.Sprintf("Aliased check %q failing: %s", worst.Name, worst.Output), DefaultOutputMax)
	}
	return r
}

func rank(status string) int {
	switch status {
	case berth.StatusCritical:
		return 2
	case berth.StatusWarning:
		return 1
	}
	return 0
}

// FollowAlias reports the state of an alias check of another node, now and at each change,
// until ctx ends. After an error the check is critical until the next answer.
func FollowAlias(ctx context.Context, nodes Nodes, node, service string, report func(Result)) {
	var retry backoff.Backoff
	q := berth.QueryOptions{MaxWait: aliasWait}
	for ctx.Err() == nil {
		state, meta, err := nodes.Node(ctx, node, q)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			report(critical("Failure checking node %s: %v", node, err))
			q.MinIndex = 0
			if retry.Wait(ctx) != nil {
				return
			}
			continue
		}
		retry.Reset()
		checks, found := aliasTarget(state, service)
		report(AliasOf(checks, service, node, found))
		if meta.Index <= q.MinIndex {
			if backoff.Sleep(ctx, 100*time.Millisecond) != nil { // a poll that did not wait
				return
			}
		}
		q.MinIndex = max(meta.Index, 1)
	}
}

// aliasTarget picks the checks of the node and of service.
func aliasTarget(state *berth.NodeServices, service string) (checks []*berth.Check, found bool) {
	if state == nil || state.Node == nil {
		return nil, false
	}
	for _, c := range state.Checks {
		if c.ServiceID == "" || c.ServiceID == service {
			checks = append(checks, c)
		}
	}
	if service == "" {
		return checks, true
	}
	for _, s := range state.Services {
		if s.ID == service {
			return checks, true
		}
	}
	return nil, false
}
