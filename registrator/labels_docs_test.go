package registrator

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"berth/internal/testutil"
)

// Every key that a container may set is on the page about labels.
func TestLabelsPage_NamesEveryKey(t *testing.T) {
	page, err := os.ReadFile("../docs/labels.md")
	testutil.NoError(t, err)
	source, err := os.ReadFile("checks.go")
	testutil.NoError(t, err)
	keys := []string{"check_http_method", "check_https_method"}
	for w := range controlWords {
		keys = append(keys, w)
	}
	for _, m := range regexp.MustCompile(`(?:get|isSet|count|duration)\("([a-z_]+)"|\{"([a-z_]+)", (?:cb\.|func)`).FindAllStringSubmatch(string(source), -1) {
		keys = append(keys, "check_"+m[1]+m[2])
	}
	if len(keys) < len(controlWords)+20 {
		t.Fatalf("only %d keys were found", len(keys))
	}
	for _, k := range keys {
		if k := strings.ToUpper(k); !regexp.MustCompile("`" + k + "\\b").Match(page) {
			t.Errorf("docs/labels.md does not name %s", k)
		}
	}
}

// Every reason that explain may give is on the page about labels.
func TestLabelsPage_NamesEveryReason(t *testing.T) {
	page, err := os.ReadFile("../docs/labels.md")
	testutil.NoError(t, err)
	for _, file := range []string{"build.go", "../cmd/berth/explainer.go"} {
		source, err := os.ReadFile(file)
		testutil.NoError(t, err)
		found := regexp.MustCompile(`(?m)^\t[Rr]eason\w+ += "([a-z0-9-]+)"`).FindAllStringSubmatch(string(source), -1)
		if len(found) < 3 {
			t.Fatalf("only %d reasons were found in %s", len(found), file)
		}
		for _, m := range found {
			if !strings.Contains(string(page), "`"+m[1]+"`") {
				t.Errorf("docs/labels.md does not name %s", m[1])
			}
		}
	}
}
