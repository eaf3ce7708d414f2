package state

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"

	"berth"
)

// Errors of catalog writes. The texts reach HTTP clients, which match on them.
var (
	errMissingNode        = errors.New("Must provide node")                                                              //nolint:staticcheck // clients match this text
	errMissingAddress     = errors.New("Must provide address if SkipNodeUpdate is not set")                              //nolint:staticcheck // clients match this text
	errMissingServiceName = errors.New("Must provide service name (Service.Service)")                                    //nolint:staticcheck // clients match this text
	errMissingNameForID   = errors.New("Must provide service name (Service.Service) when service ID is provided")        //nolint:staticcheck // clients match this text
	errServiceAddress     = errors.New("Invalid service address")                                                        //nolint:staticcheck // clients match this text
	errMissingCheckID     = errors.New("Must provide check ID or name")                                                  //nolint:staticcheck // same style
	errNoNode             = errors.New("Missing node registration")                                                      //nolint:staticcheck // clients match this text
	errOwnerAlone         = errors.New("Owner is the owner of an instance: set ServiceID as well")                       //nolint:revive // names members
	errEmptyOp            = errors.New("catalog operation has neither Register nor Deregister; set exactly one of them") //nolint:revive // names members
)

// CheckRegistration says what is wrong with a registration whatever the state is: nil, or the
// error that Tx.Catalog would refuse it with. Proposers call it before they propose.
func CheckRegistration(r *berth.Registration) error {
	if r.Node == "" {
		return errMissingNode
	}
	if r.Address == "" && !r.SkipNodeUpdate {
		return errMissingAddress
	}
	if r.ID != "" && !isUUID(r.ID) {
		return fmt.Errorf("Bad node ID: %q is not a UUID of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", r.ID) //nolint:staticcheck // clients match this text
	}
	if err := checkNames("node name", r.Node, "address", r.Address); err != nil {
		return err
	}
	if r.Service != nil {
		if err := checkInstance(r.Service); err != nil {
			return err
		}
	}
	if r.Check != nil {
		if err := checkCheck(r.Node, r.Check); err != nil {
			return err
		}
	}
	for _, c := range r.Checks {
		if c == nil {
			return errMissingCheckID
		}
		if err := checkCheck(r.Node, c); err != nil {
			return err
		}
	}
	return nil
}

// CheckDeregistration says what is wrong with a deregistration whatever the state is.
func CheckDeregistration(d *berth.Deregistration) error {
	if d.Node == "" {
		return errMissingNode
	}
	if d.Owner != "" && d.ServiceID == "" && !d.Forgotten {
		return errOwnerAlone
	}
	return nil
}

func checkInstance(s *berth.ServiceInstance) error {
	switch {
	case s.Name == "" && s.ID == "":
		return errMissingServiceName
	case s.Name == "":
		return errMissingNameForID
	}
	if a, err := netip.ParseAddr(s.Address); err == nil && a.IsUnspecified() {
		return errServiceAddress
	}
	if w := s.Weights; w != nil && (w.Passing < 0 || w.Warning < 0 || w.Passing > 65535 || w.Warning > 65535) {
		return fmt.Errorf("weights of service %q must be within 0 and 65535, got passing %d and warning %d", s.Name, w.Passing, w.Warning)
	}
	return checkNames("service ID", s.ID, "service name", s.Name)
}

func checkCheck(node string, c *berth.Check) error {
	if c.CheckID == "" && c.Name == "" {
		return errMissingCheckID
	}
	if c.Node != "" && !strings.EqualFold(c.Node, node) {
		return fmt.Errorf("Node '%s' for check '%s' doesn't match register request node '%s'", c.Node, c.CheckID, node) //nolint:staticcheck // clients match this text
	}
	switch c.Status {
	case "", berth.StatusPassing, berth.StatusWarning, berth.StatusCritical:
	default:
		return fmt.Errorf("status %q of check '%s' is not known; use passing, warning or critical", c.Status, c.CheckID)
	}
	return checkNames("check ID", c.CheckID, "check name", c.Name)
}

// checkNames refuses zero bytes, which end keys, in name-value pairs.
func checkNames(pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if strings.IndexByte(pairs[i+1], 0) >= 0 {
			return fmt.Errorf("%s %q contains a zero byte; take it out", pairs[i], pairs[i+1])
		}
	}
	return nil
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}

// Catalog applies ops in order; errs[i] is why op i was refused, and nothing of it was
// written then. errs is nil when all were taken. now is the proposer's wall clock in Unix
// nanoseconds: the lock-delays of sessions that end start with it.
func (t *Tx) Catalog(idx uint64, now int64, ops []berth.CatalogOp) (errs []error) {
	for i := range ops {
		t.began()
		var err error
		switch op := &ops[i]; {
		case op.Register != nil:
			err = t.register(idx, now, op.Register)
		case op.Deregister != nil:
			err = t.deregister(idx, now, op.Deregister)
		default:
			err = errEmptyOp
		}
		if err != nil {
			if errs == nil {
				errs = make([]error, len(ops))
			}
			errs[i] = err
		}
	}
	return errs
}

// register writes nothing unless all of r can be taken.
func (t *Tx) register(idx uint64, now int64, r *berth.Registration) error {
	if err := CheckRegistration(r); err != nil {
		return err
	}
	old := t.node(r.Node)
	node := old
	if old == nil || !r.SkipNodeUpdate && !registeredAs(r, old) {
		var err error
		if node, err = t.prepareNode(registeredNode(r)); err != nil {
			return err
		}
	}
	checks := r.Checks
	if r.Check != nil {
		checks = append([]*berth.Check{r.Check}, checks...)
	}
	if err := t.knownServices(node, r.Service, checks); err != nil {
		return err
	}
	name := node.Name
	if node != old {
		name = t.applyNode(idx, now, node)
	}
	if r.Service != nil {
		t.applyInstance(idx, name, r.Service)
	}
	for _, c := range checks {
		t.applyCheck(idx, now, name, c)
	}
	return nil
}

// registeredAs is whether r has nothing new about its node.
func registeredAs(r *berth.Registration, n *berth.Node) bool {
	return r.Node == n.Name && (r.ID == "" || strings.EqualFold(r.ID, n.ID)) && r.Address == n.Address &&
		r.Datacenter == n.Datacenter && maps.Equal(r.TaggedAddresses, n.TaggedAddresses) && maps.Equal(r.NodeMeta, n.Meta)
}

func registeredNode(r *berth.Registration) *berth.Node {
	return &berth.Node{
		ID:              r.ID,
		Name:            r.Node,
		Address:         r.Address,
		Datacenter:      r.Datacenter,
		TaggedAddresses: r.TaggedAddresses,
		Meta:            r.NodeMeta,
	}
}

// knownServices refuses checks of instances that are neither on the node nor in the
// registration.
func (t *Tx) knownServices(node *berth.Node, s *berth.ServiceInstance, checks []*berth.Check) error {
	for _, c := range checks {
		if c.ServiceID == "" || s != nil && strings.EqualFold(c.ServiceID, instanceID(s)) {
			continue
		}
		if t.instance(node.Name, c.ServiceID) == nil {
			return fmt.Errorf("Unknown service ID '%s' for check ID '%s'", c.ServiceID, checkID(c)) //nolint:staticcheck // clients match this text
		}
	}
	return nil
}

func (t *Tx) deregister(idx uint64, now int64, d *berth.Deregistration) error {
	if err := CheckDeregistration(d); err != nil {
		return err
	}
	switch {
	case d.Forgotten:
		t.heeded(idx, d)
	case d.Overdue:
		t.deleteOverdue(idx, now, d.Node, d.CheckID)
	case d.ServiceID != "":
		s := t.instance(d.Node, d.ServiceID)
		if s != nil && (d.Owner == "" || s.Meta[berth.MetaOwner] == d.Owner) {
			t.deleteInstance(idx, now, s)
			if d.Forget {
				t.forgetInstance(idx, s)
			}
		}
	case d.CheckID != "":
		if c := t.check(d.Node, d.CheckID); c != nil {
			t.deleteCheck(idx, now, c)
			if d.Forget {
				t.forgetCheck(idx, c)
			}
		}
	default:
		if n := t.node(d.Node); n != nil {
			t.deleteNode(idx, now, n)
		}
	}
	return nil
}
