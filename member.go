package berth

import "time"

// MemberStatus is a member's state as gossip sees it. The numbers are on the wire.
type MemberStatus int

// Member states.
const (
	MemberNone MemberStatus = iota
	MemberAlive
	MemberLeaving
	MemberLeft
	MemberFailed
)

func (s MemberStatus) String() string {
	switch s {
	case MemberAlive:
		return "alive"
	case MemberLeaving:
		return "leaving"
	case MemberLeft:
		return "left"
	case MemberFailed:
		return "failed"
	}
	return "none"
}

// Member is an agent as gossip knows it.
type Member struct {
	Name        string
	Addr        string
	Port        uint16
	Tags        map[string]string
	Status      MemberStatus
	ProtocolMin uint8
	ProtocolMax uint8
	ProtocolCur uint8
	DelegateMin uint8
	DelegateMax uint8
	DelegateCur uint8

	// Remark is what diagnosis found out about the member, for people; mostly empty.
	Remark string `json:",omitempty"`
}

// Server is a participant of raft.
type Server struct {
	ID              string
	Node            string
	Address         string // host:port
	Leader          bool
	ProtocolVersion string
	Voter           bool
	LastIndex       uint64
}

// Coordinate is a position in the network's round-trip-time space; distances are seconds.
type Coordinate struct {
	Vec        []float64
	Error      float64
	Adjustment float64
	Height     float64
}

// NodeCoordinate is a node's coordinate in the LAN.
type NodeCoordinate struct {
	Node    string
	Segment string
	Coord   *Coordinate
}

// DatacenterCoordinates are the coordinates of a datacenter's servers in the WAN.
type DatacenterCoordinates struct {
	Datacenter  string
	AreaID      string
	Coordinates []NodeCoordinate
}

// UserEvent is a custom event spread by gossip.
type UserEvent struct {
	ID            string
	Name          string
	Payload       []byte
	NodeFilter    string
	ServiceFilter string
	TagFilter     string
	Version       int
	LTime         uint64
}

// KeyringResponse is one pool's answer to a keyring operation.
type KeyringResponse struct {
	WAN         bool
	Datacenter  string
	Segment     string
	Messages    map[string]string `json:",omitempty"`
	Keys        map[string]int
	PrimaryKeys map[string]int
	NumNodes    int
	Error       string `json:",omitempty"`
}

// AutopilotConfig steers how the leader looks after the servers.
type AutopilotConfig struct {
	CleanupDeadServers      bool
	LastContactThreshold    Duration
	MaxTrailingLogs         uint64
	MinQuorum               uint
	ServerStabilizationTime Duration
	RedundancyZoneTag       string
	DisableUpgradeMigration bool
	UpgradeVersionTag       string
	CreateIndex             uint64
	ModifyIndex             uint64
}

// ServerHealth is a server as autopilot sees it.
type ServerHealth struct {
	ID          string
	Name        string
	Address     string
	SerfStatus  string
	Version     string
	Leader      bool
	LastContact Duration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	Voter       bool
	StableSince time.Time
}

// AutopilotHealth is the health of the set of servers.
type AutopilotHealth struct {
	Healthy          bool
	FailureTolerance int
	Servers          []ServerHealth
}
