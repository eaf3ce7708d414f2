package check

import (
	"fmt"
	"strings"
	"testing"

	"berth"
	"berth/internal/testutil"
)

func TestHysteresis(t *testing.T) {
	letters := map[string]string{"p": "passing", "w": "warning", "c": "critical", "T": "critical"}
	for _, tc := range []struct {
		name             string
		def              berth.CheckDefinition
		restart          bool
		results, changes string // "." is no change
	}{
		{"defaults", berth.CheckDefinition{}, false, "pcwp", "pcwp"},
		{"first result counts at once", berth.CheckDefinition{SuccessBeforePassing: 3, FailuresBeforeCritical: 3}, false, "c", "c"},
		{"failures", berth.CheckDefinition{FailuresBeforeCritical: 3}, false, "pccpcccc", "p..p..cc"},
		{"warning in between", berth.CheckDefinition{FailuresBeforeWarning: 2, FailuresBeforeCritical: 4}, false, "pccccc", "p.wwcc"},
		{"successes", berth.CheckDefinition{SuccessBeforePassing: 2}, false, "pcppcp", "pc.pc."},
		{"warning is a success", berth.CheckDefinition{SuccessBeforePassing: 2}, false, "cwp", "c.p"},
		{"timeout counts at once", berth.CheckDefinition{FailuresBeforeCritical: 3}, false, "pT", "pc"},
		{"kept over a restart", berth.CheckDefinition{FailuresBeforeCritical: 2}, true, "cc", ".c"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := NewHysteresis(&tc.def)
			if tc.restart {
				h.Restart()
			}
			var got strings.Builder
			for _, r := range tc.results {
				status, ok := h.Next(Result{Status: letters[string(r)], Final: r == 'T'})
				if !ok {
					status = "."
				}
				got.WriteString(status[:1])
			}
			testutil.Equal(t, got.String(), tc.changes)
		})
	}
}

func TestTail_KeepsTheLastBytes(t *testing.T) {
	for _, tc := range []struct {
		writes []string
		want   string
	}{
		{nil, ""},
		{[]string{"12345678"}, "12345678"},
		{[]string{"1234", "56789"}, "Captured 8 of 9 bytes\n...\n23456789"},
		{[]string{"1234", "5678", "abcdefghij", "kl"}, "Captured 8 of 20 bytes\n...\nefghijkl"},
		{[]string{strings.Repeat("x", 100) + "end", ""}, "Captured 8 of 103 bytes\n...\nxxxxxend"},
		{[]string{"abc\xff"}, "abc\uFFFD"},
	} {
		out := newTail(8)
		for _, w := range tc.writes {
			fmt.Fprint(out, w)
		}
		testutil.Equal(t, out.String(), tc.want)
	}
}

func TestTruncate(t *testing.T) {
	testutil.Equal(t, Truncate("short", 10), "short")
	testutil.Equal(t, Truncate("longer than that", 6), "longer ... (captured 6 of 16 bytes)")
	testutil.Equal(t, Truncate("aé", 2), "a ... (captured 1 of 3 bytes)")
}

func TestAliasOf(t *testing.T) {
	c := func(id, status string) *berth.Check {
		return &berth.Check{CheckID: id, Name: id, Status: status, Output: "o"}
	}
	for _, tc := range []struct {
		checks []*berth.Check
		found  bool
		want   Result
	}{
		{nil, true, Result{Status: "passing", Output: "No checks found."}},
		{nil, false, Result{Status: "critical", Output: "Service s could not be found on node n"}},
		{[]*berth.Check{c("a", "passing")}, true, Result{Status: "passing", Output: "All checks passing."}},
		{[]*berth.Check{c("a", "warning"), c("c", "critical"), c("b", "critical")}, true, Result{Status: "critical", Output: `Aliased check "b" failing: o`}},
		{[]*berth.Check{c("a", "warning"), c("p", "passing")}, true, Result{Status: "warning", Output: `Aliased check "a" failing: o`}},
	} {
		testutil.Equal(t, AliasOf(tc.checks, "s", "n", tc.found), tc.want)
	}
}
