package httpapi

import (
	"embed"
	"net/http"
)

//go:embed ui
var uiFiles embed.FS

// UI serves the web page below /ui/; it is for Config.UI. The page asks this server's API and
// nothing else.
func UI() http.Handler {
	serve := http.FileServerFS(uiFiles) // the folder's name is the path's
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache")
		serve.ServeHTTP(w, r)
	})
}
