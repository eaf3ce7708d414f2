package main

import (
	"testing"

	"berth"
)

func TestEventMeans(t *testing.T) {
	services := []*berth.ServiceInstance{
		{ID: "host:web:80", Name: "web", Tags: []string{"blue", "v2"}},
		{ID: "db-1", Name: "db"},
	}
	for _, c := range []struct {
		node, service, tag string
		want               bool
	}{
		{"", "", "", true},
		{"n1", "", "", true},
		{"^n$", "", "", false},
		{"n[0-9]", "^web$", "", true},
		{"n2", "web", "", false},
		{"", "^db-1$", "", true},
		{"", "cache", "", false},
		{"", "web", "^v2$", true},
		{"", "db", "v2", false},
		{"", "web|db", "green", false},
		{"(", "", "", false},
	} {
		e := &berth.UserEvent{Name: "deploy", NodeFilter: c.node, ServiceFilter: c.service, TagFilter: c.tag}
		if got := eventMeans(e, "n1", services); got != c.want {
			t.Errorf("node %q service %q tag %q: %v, want %v", c.node, c.service, c.tag, got, c.want)
		}
	}
}
