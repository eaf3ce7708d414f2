package berth

// ServiceDefinition is a service instance that somebody (a container, a config file, the API)
// wants registered on this host, with the checks that the agent shall run for it.
type ServiceDefinition struct {
	Kind              string `json:",omitempty"`
	ID                string `json:",omitempty"` // empty: Name
	Name              string
	Tags              []string                  `json:",omitempty"`
	Address           string                    `json:",omitempty"`
	TaggedAddresses   map[string]ServiceAddress `json:",omitempty"`
	Meta              map[string]string         `json:",omitempty"`
	Port              int                       `json:",omitempty"`
	SocketPath        string                    `json:",omitempty"`
	Weights           *Weights                  `json:",omitempty"`
	EnableTagOverride bool                      `json:",omitempty"`
	Token             string                    `json:",omitempty"`
	Check             *CheckDefinition          `json:",omitempty"`
	Checks            []*CheckDefinition        `json:",omitempty"`
}

// AllChecks is Check and Checks in one list.
func (d *ServiceDefinition) AllChecks() []*CheckDefinition {
	if d.Check == nil {
		return d.Checks
	}
	return append([]*CheckDefinition{d.Check}, d.Checks...)
}

// Sources of desired services.
const (
	SourceDocker = "docker"
	SourceConfig = "config"
	SourceAPI    = "api"
)

// ContainerReport explains one container to a person: what is registered of it, or why not.
type ContainerReport struct {
	Container string // full ID
	Name      string
	Image     string
	State     string // running, paused, restarting, exited, ... as the engine says
	Health    string `json:",omitempty"`
	Network   string `json:",omitempty"` // network chosen for the address, and why
	Reason    string `json:",omitempty"` // reason code why nothing of it is registered
	Detail    string `json:",omitempty"`
	Ports     []PortReport
	Dropped   []string `json:",omitempty"` // label and environment keys not taken, each with its reason
	Checks    []string `json:",omitempty"`
}

// PortReport explains one port of a container.
type PortReport struct {
	Port      string            // "8080/tcp"
	ServiceID string            `json:",omitempty"`
	Service   string            `json:",omitempty"`
	Address   string            `json:",omitempty"` // host:port as registered
	Tags      []string          `json:",omitempty"`
	Status    string            `json:",omitempty"`
	Checks    []string          `json:",omitempty"`
	Reason    string            `json:",omitempty"` // reason code when not registered
	Detail    string            `json:",omitempty"`
	From      map[string]string `json:",omitempty"` // field -> the label or variable that decided it
}
