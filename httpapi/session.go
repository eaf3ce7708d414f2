package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"berth"
)

const (
	defaultLockDelay = 15 * time.Second
	maxLockDelay     = 60 * time.Second
	maxSessionTTL    = 24 * time.Hour
	// lockDelaySeconds: a lock delay given as a number below it means seconds, else nanoseconds.
	lockDelaySeconds = 1000
)

// lockDelay reads as a duration string, seconds or nanoseconds, and is written as nanoseconds.
type lockDelay time.Duration

// UnmarshalJSON reads the three forms.
func (d *lockDelay) UnmarshalJSON(b []byte) error {
	if string(b) == `""` { // would be no delay at all
		return errors.New("LockDelay is empty")
	}
	var v berth.Duration
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	if len(b) > 0 && b[0] != '"' && v.D() < lockDelaySeconds {
		v *= berth.Duration(time.Second)
	}
	*d = lockDelay(v)
	return nil
}

// MarshalJSON writes a string, which is read back as it is whatever its size.
func (d lockDelay) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// sessionBody is a session as clients send it.
type sessionBody struct {
	Name          string
	Node          string
	LockDelay     *lockDelay
	Behavior      string
	TTL           string
	NodeChecks    []string
	ServiceChecks []berth.SessionServiceCheck
	Checks        []string `json:",omitempty"` // before NodeChecks and ServiceChecks were told apart
}

// prepareSession fills in what depends on the agent that was asked: a session belongs to its node.
func prepareSession(c *call, _ *berth.Route) error {
	if !c.local {
		return nil
	}
	if c.dc != "" {
		if !c.s.cfg.Self.Server {
			return berth.Rejected("cross datacenter lock must be created at server agent")
		}
		return nil
	}
	var body sessionBody
	if err := c.decodeLax(&body); err != nil {
		return err
	}
	if body.Node == "" {
		body.Node = c.s.cfg.Self.NodeName
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	c.setBody(raw)
	return nil
}

// sessionCreate answers PUT /v1/session/create.
func sessionCreate(c *call) (any, error) {
	var body sessionBody
	if err := c.decodeLax(&body); err != nil {
		return nil, err
	}
	s := &berth.Session{Name: body.Name, Node: body.Node, LockDelay: int64(defaultLockDelay), Behavior: body.Behavior, TTL: body.TTL,
		NodeChecks: body.NodeChecks, ServiceChecks: body.ServiceChecks}
	if s.Node == "" {
		s.Node = c.s.cfg.Self.NodeName
	}
	if body.LockDelay != nil {
		s.LockDelay = int64(*body.LockDelay)
	}
	if s.Behavior == "" {
		s.Behavior = berth.SessionRelease
	}
	if s.NodeChecks == nil {
		s.NodeChecks = body.Checks
	}
	if s.NodeChecks == nil {
		s.NodeChecks = []string{berth.NodeHealthCheckID}
	}
	if err := c.checkSession(s); err != nil {
		return nil, err
	}
	id, err := c.s.cfg.Store.SessionCreate(c.ctx, s)
	if err != nil {
		return nil, err
	}
	return struct{ ID string }{id}, nil
}

func (c *call) checkSession(s *berth.Session) error {
	if s.Behavior != berth.SessionRelease && s.Behavior != berth.SessionDelete {
		return berth.Rejected(fmt.Sprintf("Invalid Behavior setting '%s'", s.Behavior))
	}
	if d := time.Duration(s.LockDelay); d < 0 || d > maxLockDelay {
		return berth.Rejected(fmt.Sprintf("Invalid lock delay %v, must be between 0s and %v", d, maxLockDelay))
	}
	if s.TTL == "" {
		return nil
	}
	ttl, err := time.ParseDuration(s.TTL)
	if err != nil {
		return berth.Rejected(fmt.Sprintf("Session TTL '%s' invalid: %v", s.TTL, err))
	}
	if ttl != 0 && (ttl < c.s.cfg.SessionTTLMin || ttl > maxSessionTTL) {
		return berth.Rejected(fmt.Sprintf("Invalid Session TTL '%d', must be between [%v=%v]", ttl, c.s.cfg.SessionTTLMin, maxSessionTTL))
	}
	return nil
}

// sessionDestroy answers PUT /v1/session/destroy/<id>.
func sessionDestroy(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing session")
	}
	err := c.s.cfg.Store.SessionDestroy(c.ctx, c.tail)
	if err != nil && !errors.Is(err, berth.ErrSessionNotFound) {
		return nil, err
	}
	return true, nil
}

// sessionRenew answers PUT /v1/session/renew/<id>.
func sessionRenew(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing session")
	}
	s, err := c.s.cfg.Store.SessionRenew(c.ctx, c.tail)
	if errors.Is(err, berth.ErrSessionNotFound) || err == nil && s == nil {
		return nil, httpError(http.StatusNotFound, fmt.Sprintf("Session id '%s' not found", c.tail))
	}
	if err != nil {
		return nil, err
	}
	return []*berth.Session{s}, nil
}

// sessionInfo answers GET /v1/session/info/<id>.
func sessionInfo(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing session")
	}
	s, err := read(c, func(ctx context.Context, q berth.QueryOptions) (*berth.Session, berth.QueryMeta, error) {
		return c.s.cfg.Store.Session(ctx, c.tail, q)
	})
	if err != nil {
		return nil, err
	}
	if s == nil {
		return []*berth.Session{}, nil
	}
	return []*berth.Session{s}, nil
}

// sessionNode answers GET /v1/session/node/<node>.
func sessionNode(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing node name")
	}
	return c.sessions(c.tail)
}

// sessionList answers GET /v1/session/list.
func sessionList(c *call) (any, error) { return c.sessions("") }

func (c *call) sessions(node string) (any, error) {
	filter, err := newFilter[berth.Session](c)
	if err != nil {
		return nil, err
	}
	sessions, err := read(c, func(ctx context.Context, q berth.QueryOptions) ([]*berth.Session, berth.QueryMeta, error) {
		return c.s.cfg.Store.Sessions(ctx, node, q)
	})
	if err != nil {
		return nil, err
	}
	return filter.apply(sessions)
}
