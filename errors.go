package berth

import "errors"

// Errors that cross package boundaries. Callers test with errors.Is; the texts that reach
// HTTP clients are part of the interface, since clients match on them.
var (
	// ErrNoLeader: the datacenter has no raft leader now; the request may be tried again.
	ErrNoLeader = errors.New("No cluster leader") //nolint:staticcheck // clients match this text
	// ErrNotLeader: this server is not the leader, nothing was written.
	ErrNotLeader = errors.New("node is not the leader")
	// ErrNoServers: a client agent knows no server that it could ask.
	ErrNoServers = errors.New("No known Consul servers") //nolint:staticcheck // clients match this text
	// ErrNoPath: the datacenter is not known or none of its servers can be reached.
	ErrNoPath = errors.New("No path to datacenter") //nolint:staticcheck // clients match this text
	// ErrRemoteUnreachable: the datacenter is known but gossip says all its servers are down.
	ErrRemoteUnreachable = errors.New("Remote DC has no server currently reachable") //nolint:staticcheck // clients match this text
	// ErrUnsynced: this agent's replica has never been filled, so nothing can be said.
	ErrUnsynced = errors.New("catalog replica has not been filled yet")
	// ErrPermissionDenied: the Authorizer refused the request.
	ErrPermissionDenied = errors.New("Permission denied") //nolint:staticcheck // clients match this text
	// ErrUnknownService: no service with that ID is registered with this agent.
	ErrUnknownService = errors.New("unknown service")
	// ErrUnknownCheck: no check with that ID is registered with this agent.
	ErrUnknownCheck = errors.New("unknown check")
	// ErrNotTTL: the check exists but has no TTL that could be refreshed.
	ErrNotTTL = errors.New("check has no TTL")
	// ErrScriptsDisabled: a script or exec check came in and scripts are not enabled.
	ErrScriptsDisabled = errors.New("scripts are disabled on this agent")
	// ErrSessionNotFound: no session with that ID exists.
	ErrSessionNotFound = errors.New("session not found")
	// ErrClosed: the component was asked to stop.
	ErrClosed = errors.New("shutting down")
)

// InvalidError says that what a caller sent cannot be accepted, whoever asks again.
// httpapi answers it with Status (400 when zero) and Text as the body.
type InvalidError struct {
	Status int
	Text   string
}

func (e *InvalidError) Error() string { return e.Text }

// Invalid returns an InvalidError answered with HTTP status 400.
func Invalid(text string) error { return &InvalidError{Status: 400, Text: text} }

// Rejected returns an InvalidError answered with HTTP status 500, which Consul uses for what
// its servers (not its agents) refuse.
func Rejected(text string) error { return &InvalidError{Status: 500, Text: text} }
