package httpapi_test

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"berth/httpapi"
	"berth/internal/testutil"
)

var update = flag.Bool("update", false, "write docs/http-api.md")

func TestReference_IsCurrent(t *testing.T) {
	const file = "../docs/http-api.md"
	want := httpapi.Reference()
	if *update {
		testutil.NoError(t, os.WriteFile(file, []byte(want), 0o644))
	}
	got, err := os.ReadFile(file)
	testutil.NoError(t, err)
	if string(got) != want {
		t.Fatalf("%s is not what the table of routes says: run `go test ./httpapi -run Reference -update`", file)
	}
	for _, r := range httpapi.Routes() {
		if !strings.Contains(want, "| `"+r.Path+"` | "+strings.ReplaceAll(r.Methods, ",", ", ")+" |") {
			t.Errorf("%s %s is missing", r.Methods, r.Path)
		}
	}
}

// What the page says about each endpoint's status is what a client sees.
func TestReference_StatusesAreTrue(t *testing.T) {
	h := newHarness(t)
	rows := regexp.MustCompile("(?m)^\\| `(/v1/[^`]*)` \\| (.*) \\|$").FindAllStringSubmatch(httpapi.Reference(), -1)
	if len(rows) < 100 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, row := range rows {
		path, cells := row[1], strings.Split(row[2], " | ")
		w := h.do("OPTIONS", path, "")
		switch in := len(cells) == 3; {
		case in && w.Code != 200:
			t.Errorf("OPTIONS %s: %d", path, w.Code)
		case !in && w.Code != 404:
			t.Errorf("OPTIONS %s: %d, the page says that it is not there", path, w.Code)
		case in && cells[2] == "401":
			for method := range strings.SplitSeq(cells[0], ",") {
				h.want(strings.TrimSpace(method), path, "", 401, "ACL support disabled")
			}
		}
	}
}
