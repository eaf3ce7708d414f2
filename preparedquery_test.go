package berth_test

import (
	"fmt"
	"strings"
	"testing"

	"berth"
	"berth/internal/testutil"
)

func TestExpandTemplate(t *testing.T) {
	value := func(place string, n int) string { return fmt.Sprintf("<%s %d>", place, n) }
	for text, want := range map[string]string{
		"":                               "",
		"web":                            "web",
		"${name.full}":                   "<name.full 0>",
		"a-${ name.suffix }-b":           "a-<name.suffix 0>-b",
		"${match(1)}${match( 12 )}":      "<match 1><match 12>",
		"${name.prefix}${agent.segment}": "<name.prefix 0><agent.segment 0>",
		"$${name.full} $5 {x}":           "${name.full} $5 {x}",
	} {
		got, err := berth.ExpandTemplate(text, value)
		testutil.NoError(t, err)
		testutil.Equal(t, got, want)
	}
	for _, text := range []string{"${", "${}", "${match}", "${match(}", "${match(x)}", "${name}", "${name.full", "a ${env.HOME}", "${name.full(1)}"} {
		if _, err := berth.ExpandTemplate(text, value); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
