package main

import (
	"regexp"
	"slices"

	"berth"
)

// eventMeans is whether an event's filters, which are regular expressions, match a node: its name,
// and one of its services by ID or name, with a tag. Who fires an event does not know who has what,
// so each agent decides for itself. An expression that does not compile matches nothing.
func eventMeans(e *berth.UserEvent, node string, services []*berth.ServiceInstance) bool {
	if !matches(e.NodeFilter, node) {
		return false
	}
	if e.ServiceFilter == "" {
		return true
	}
	return slices.ContainsFunc(services, func(s *berth.ServiceInstance) bool {
		return matches(e.ServiceFilter, s.ID, s.Name) && (e.TagFilter == "" || matches(e.TagFilter, s.Tags...))
	})
}

// matches is whether expr matches one of texts; an empty one always does.
func matches(expr string, texts ...string) bool {
	if expr == "" {
		return true
	}
	re, err := regexp.Compile(expr)
	return err == nil && slices.ContainsFunc(texts, re.MatchString)
}
