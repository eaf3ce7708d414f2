package httpapi

import (
	"fmt"
	"strings"

	"berth"
)

// plausible refuses registrations that the catalog could keep and nobody could use.
func plausible(r *berth.Registration) error {
	if err := withoutZeroBytes("node name", r.Node, "address", r.Address); err != nil {
		return err
	}
	if s := r.Service; s != nil {
		if err := plausibleInstance(s); err != nil {
			return err
		}
	}
	checks := r.Checks
	if r.Check != nil {
		checks = append(checks[:len(checks):len(checks)], r.Check)
	}
	for _, c := range checks {
		if !knownStatus(c.Status) {
			return berth.Invalid(fmt.Sprintf("status %q of check '%s' is not known; use passing, warning or critical", c.Status, c.CheckID))
		}
		if err := withoutZeroBytes("check ID", c.CheckID, "check name", c.Name); err != nil {
			return err
		}
	}
	return nil
}

// plausibleInstance is plausible for an instance alone, as transactions carry it.
func plausibleInstance(s *berth.ServiceInstance) error {
	if err := plausiblePorts(s.Name, s.Port, s.TaggedAddresses); err != nil {
		return err
	}
	if w := s.Weights; w != nil && (w.Passing < 0 || w.Warning < 0 || w.Passing > maxWeight || w.Warning > maxWeight) {
		return berth.Invalid(fmt.Sprintf("weights of service %q must be within 0 and %d, got passing %d and warning %d", s.Name, maxWeight, w.Passing, w.Warning))
	}
	return withoutZeroBytes("service ID", s.ID, "service name", s.Name, "service address", s.Address)
}

func plausiblePorts(service string, port int, tagged map[string]berth.ServiceAddress) error {
	if port < 0 || port > maxPort {
		return berth.Invalid(fmt.Sprintf("port %d of service %q is not between 0 and %d", port, service, maxPort))
	}
	for tag, a := range tagged {
		if a.Port < 0 || a.Port > maxPort {
			return berth.Invalid(fmt.Sprintf("port %d of tagged address %q of service %q is not between 0 and %d", a.Port, tag, service, maxPort))
		}
	}
	return nil
}

// withoutZeroBytes refuses zero bytes in name-value pairs: keys of the catalog end with them.
func withoutZeroBytes(pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if strings.IndexByte(pairs[i+1], 0) >= 0 {
			return berth.Invalid(fmt.Sprintf("%s %q contains a zero byte; take it out", pairs[i], pairs[i+1]))
		}
	}
	return nil
}
