package main

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"berth"
)

var memberSpecs = []spec{{
	name: "members", synopsis: "List the members of the cluster",
	help: "Servers come first, then clients by name. When no member matches, nothing is printed\nand the exit status is 2.",
	make: func() action { return new(membersCommand) },
}}

type membersCommand struct {
	client   clientFlags
	detailed bool
	wan      bool
	status   string
	segment  string
	filter   string
}

func (c *membersCommand) flags(f *flagSet) {
	f.http(&c.client)
	f.BoolVar(&c.detailed, "detailed", false, "show all tags, and what is wrong with a member if something is")
	f.BoolVar(&c.wan, "wan", false, "list the servers of all datacenters")
	f.StringVar(&c.status, "status", ".*", "only members whose status matches this regular expression")
	f.StringVar(&c.segment, "segment", "", "accepted; there are no network segments")
	f.StringVar(&c.filter, "filter", "", "only members for which this expression holds")
}

// exitNoMembers is the status when no member matches.
const exitNoMembers = 2

func (c *membersCommand) run(e *env, _ []string) int {
	status, err := regexp.Compile(c.status)
	if err != nil {
		return e.errorf("Error: -status: %v", err)
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	q := query("filter", c.filter)
	if c.wan {
		q.Set("wan", "1")
	}
	var members []berth.Member
	if err := cl.get(e.ctx, "/v1/agent/members", q, &members); err != nil {
		return e.errorf("Error retrieving members: %v", err)
	}
	members = slices.DeleteFunc(members, func(m berth.Member) bool { return !status.MatchString(m.Status.String()) })
	if len(members) == 0 {
		return exitNoMembers
	}
	slices.SortFunc(members, func(a, b berth.Member) int {
		return cmp.Or(cmp.Compare(memberRank(a), memberRank(b)), cmp.Compare(a.Name, b.Name))
	})
	if c.detailed {
		e.table(detailedMembers(members))
		return 0
	}
	rows := [][]string{{"Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Partition", "Segment"}}
	for _, m := range members {
		build, _, _ := strings.Cut(m.Tags["build"], ":")
		rows = append(rows, []string{
			m.Name, memberAddr(m), m.Status.String(), memberType(m), build, memberProtocol(m), m.Tags["dc"],
			cmp.Or(m.Tags["ap"], "default"), memberSegment(m),
		})
	}
	e.table(rows)
	return 0
}

// detailedMembers has a column of remarks when there are any.
func detailedMembers(members []berth.Member) [][]string {
	remarks := slices.ContainsFunc(members, func(m berth.Member) bool { return m.Remark != "" })
	rows := [][]string{{"Node", "Address", "Status", "Tags"}}
	if remarks {
		rows[0] = append(rows[0], "Remark")
	}
	for _, m := range members {
		var tags []string
		for _, k := range slices.Sorted(maps.Keys(m.Tags)) {
			tags = append(tags, k+"="+m.Tags[k])
		}
		row := []string{m.Name, memberAddr(m), m.Status.String(), strings.Join(tags, ",")}
		if remarks {
			row = append(row, cmp.Or(m.Remark, "-"))
		}
		rows = append(rows, row)
	}
	return rows
}

func memberAddr(m berth.Member) string {
	return net.JoinHostPort(m.Addr, strconv.Itoa(int(m.Port)))
}

func memberType(m berth.Member) string {
	switch m.Tags["role"] {
	case "consul":
		return "server"
	case "node":
		return "client"
	}
	return "unknown"
}

// memberRank puts servers first.
func memberRank(m berth.Member) int {
	return slices.Index([]string{"server", "client", "unknown"}, memberType(m))
}

func memberProtocol(m berth.Member) string {
	if v := m.Tags["vsn"]; v != "" {
		return v
	}
	return fmt.Sprint(m.ProtocolCur)
}

func memberSegment(m berth.Member) string {
	switch memberType(m) {
	case "server":
		return "<all>"
	case "client":
		return "<default>"
	}
	return ""
}
