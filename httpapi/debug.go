package httpapi

import (
	"net/http/pprof"
	"strings"
)

const pprofPrefix = "/debug/pprof/"

// serveProfile answers the paths below /debug/pprof/.
func (c *call) serveProfile() {
	var err error
	if c.form, err = c.form.parse(c.r.URL.RawQuery); err != nil {
		c.fail(httpError(400, err.Error()))
		return
	}
	c.opts.Token = c.token()
	if err := c.authorize("operator", Read, ""); err != nil {
		c.fail(err)
		return
	}
	c.writeDeadline(0) // a profile takes as long as it was asked to
	switch strings.TrimPrefix(c.r.URL.Path, pprofPrefix) {
	case "cmdline":
		pprof.Cmdline(c.w, c.r)
	case "profile":
		pprof.Profile(c.w, c.r)
	case "symbol":
		pprof.Symbol(c.w, c.r)
	case "trace":
		pprof.Trace(c.w, c.r)
	default:
		pprof.Index(c.w, c.r)
	}
}
