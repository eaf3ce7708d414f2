package berth

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// CheckDefinition asks an agent to run, or to accept, a health check. Which kind it is
// follows from the first set member in the order GRPC, HTTP, TTL, TCP, UDP, Alias, Docker
// (DockerContainerID), script (ScriptArgs), H2PING, OSService; Kind tells.
type CheckDefinition struct {
	ID        string `json:",omitempty"` // empty: service:<service id>[:<n>] or the name
	Name      string `json:",omitempty"`
	Notes     string `json:",omitempty"`
	ServiceID string `json:",omitempty"`
	Token     string `json:",omitempty"`
	Status    string `json:",omitempty"` // status until the first result; "" is critical
	Output    string `json:",omitempty"`

	// Passive: nobody runs the check; Status and Output are what its source last said.
	Passive bool `json:",omitempty"`
	// Type overrides the kind shown to clients for passive checks, e.g. "docker".
	Type string `json:",omitempty"`
	// StayOnHost: an HTTP check follows no redirect to another host.
	StayOnHost bool `json:",omitempty"`

	CheckTarget

	SuccessBeforePassing   int `json:",omitempty"`
	FailuresBeforeWarning  int `json:",omitempty"`
	FailuresBeforeCritical int `json:",omitempty"`
}

// CheckTarget says what a check does and how often. It is the "Definition" of a check in the
// catalog. In its JSON durations are Go strings; a number is nanoseconds.
type CheckTarget struct {
	HTTP                           string              `json:",omitempty"`
	Header                         map[string][]string `json:",omitempty"`
	Method                         string              `json:",omitempty"`
	Body                           string              `json:",omitempty"`
	DisableRedirects               bool                `json:",omitempty"`
	TLSServerName                  string              `json:",omitempty"`
	TLSSkipVerify                  bool                `json:",omitempty"`
	TCP                            string              `json:",omitempty"`
	TCPUseTLS                      bool                `json:",omitempty"`
	UDP                            string              `json:",omitempty"`
	H2PING                         string              `json:",omitempty"`
	H2PingUseTLS                   bool                `json:",omitempty"`
	OSService                      string              `json:",omitempty"`
	GRPC                           string              `json:",omitempty"`
	GRPCUseTLS                     bool                `json:",omitempty"`
	DockerContainerID              string              `json:",omitempty"`
	Shell                          string              `json:",omitempty"`
	ScriptArgs                     []string            `json:",omitempty"`
	AliasNode                      string              `json:",omitempty"`
	AliasService                   string              `json:",omitempty"`
	TTL                            Duration            `json:",omitzero"`
	Interval                       Duration            `json:",omitzero"`
	Timeout                        Duration            `json:",omitzero"`
	DeregisterCriticalServiceAfter Duration            `json:",omitzero"`
	OutputMaxSize                  int                 `json:",omitempty"`
	SessionName                    string              `json:",omitempty"`
}

// IsZero is whether no member is set.
func (t CheckTarget) IsZero() bool { return reflect.ValueOf(t).IsZero() }

// Kinds of checks as clients see them in Check.Type.
const (
	CheckGRPC        = "grpc"
	CheckHTTP        = "http"
	CheckTTL         = "ttl"
	CheckTCP         = "tcp"
	CheckUDP         = "udp"
	CheckAlias       = "alias"
	CheckDocker      = "docker"
	CheckScript      = "script"
	CheckH2PING      = "h2ping"
	CheckOSService   = "os_service"
	CheckMaintenance = "maintenance"
)

// Kind is the check's type by the precedence above, or "" when none is set.
func (t *CheckTarget) Kind() string {
	switch {
	case t.GRPC != "":
		return CheckGRPC
	case t.HTTP != "":
		return CheckHTTP
	case t.TTL != 0:
		return CheckTTL
	case t.TCP != "":
		return CheckTCP
	case t.UDP != "":
		return CheckUDP
	case t.AliasNode != "" || t.AliasService != "":
		return CheckAlias
	case t.DockerContainerID != "":
		return CheckDocker
	case len(t.ScriptArgs) > 0:
		return CheckScript
	case t.H2PING != "":
		return CheckH2PING
	case t.OSService != "":
		return CheckOSService
	}
	return ""
}

// Duration is a time.Duration that reads as a Go duration string or a number of nanoseconds
// in JSON and is written as a string.
type Duration time.Duration

// D is the duration as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes the Go duration string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a duration string ("" is 0) or a number of nanoseconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '"' {
		if string(b) == "null" {
			return nil
		}
		n, err := strconv.ParseFloat(string(b), 64)
		if err != nil {
			return fmt.Errorf("invalid duration %s: use a string such as \"10s\" or nanoseconds", b)
		}
		*d = Duration(n)
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s == "" {
		*d = 0
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}
