package httpapi_test

import (
	"regexp"
	"strings"
	"testing"

	"berth/httpapi"
	"berth/internal/testutil"
)

func TestUI_ServesItsOwnFilesOnly(t *testing.T) {
	h := newHarness(t, func(c *httpapi.Config) { c.UI = httpapi.UI() })
	testutil.Equal(t, h.want("GET", "/", "", 301, "").Header().Get("Location"), "/ui/")
	page := h.want("GET", "/ui/", "", 200, "<title>berth</title>")
	if !strings.Contains(page.Header().Get("Content-Security-Policy"), "default-src 'self'") {
		t.Errorf("policy is %q", page.Header().Get("Content-Security-Policy"))
	}
	for _, file := range []string{"app.js", "style.css"} {
		h.want("GET", "/ui/"+file, "", 200, "")
	}
	h.want("GET", "/ui/../server.go", "", 404, "")
	outside := regexp.MustCompile(`(https?:)?//[a-z]`)
	for _, file := range []string{"", "app.js", "style.css"} {
		if found := outside.FindString(h.do("GET", "/ui/"+file, "").Body.String()); found != "" {
			t.Errorf("/ui/%s asks another server: %q", file, found)
		}
	}
	// What the page asks is what the API has.
	calls := regexp.MustCompile(`get\('([a-z/]+)`)
	for _, m := range calls.FindAllStringSubmatch(h.do("GET", "/ui/app.js", "").Body.String(), -1) {
		path := "/v1/" + m[1]
		if w := h.do("OPTIONS", strings.TrimSuffix(path, "'"), ""); w.Code != 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}
