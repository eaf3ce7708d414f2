package agent

import (
	"strings"
	"testing"

	"berth"
	"berth/internal/testutil"
)

// A write holds so many operations and so many bytes, and always at least one operation.
func TestFitting(t *testing.T) {
	op := func(bytes int) plannedOp {
		return plannedOp{op: berth.CatalogOp{Register: &berth.Registration{
			Service: &berth.ServiceInstance{Tags: []string{strings.Repeat("x", bytes)}}}}}
	}
	many := make([]plannedOp, maxOps+10)
	testutil.Equal(t, fitting(many), maxOps)
	testutil.Equal(t, fitting(many[:7]), 7)
	testutil.Equal(t, fitting([]plannedOp{op(2 * maxOpsBytes), op(1)}), 1)
	testutil.Equal(t, fitting([]plannedOp{op(maxOpsBytes / 2), op(maxOpsBytes / 2), op(1), op(1)}), 2)
}
