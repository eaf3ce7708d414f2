package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"berth"
)

// Values of headers that answers share. net/http copies them; nobody may change them. Names are
// written as net/http keeps them, so that a header is set by one assignment.
var (
	valueJSON     = []string{typeJSON}
	valueText     = []string{typeText}
	valueGzip     = []string{"gzip"}
	valueTrue     = []string{"true"}
	valueFalse    = []string{"false"}
	valueZero     = []string{"0"}
	valueBlocking = []string{"blocking-query"}
	valueEncoding = []string{"Accept-Encoding"}
	valueDefault  = []string{string(berth.ConsistencyDefault)}
)

// lengthKnown is up to how many bytes net/http finds the length of an answer by itself. Leaving
// it to that keeps these answers at eight headers, which is what a small map of Go holds.
const lengthKnown = 2048

// commonHeaders are the headers of all answers of the table's endpoints.
func commonHeaders(c *Config) http.Header {
	h := make(http.Header)
	h["Vary"] = valueEncoding
	h["X-Consul-Default-Acl-Policy"] = []string{c.DefaultPolicy}
	if c.TranslateWANAddrs {
		h["X-Consul-Translate-Addresses"] = valueTrue
	}
	return h
}

// setMeta writes the headers that go with a read.
func (c *call) setMeta(m berth.QueryMeta) {
	h := c.w.Header()
	h["X-Consul-Index"] = numberValue(max(m.Index, 1))
	h["X-Consul-Query-Backend"] = valueBlocking
	setContact(h, m)
	if c.cached {
		cache := "MISS"
		if c.opts.Consistency == berth.ConsistencyStale {
			cache = "HIT"
			h.Set("Age", strconv.FormatInt(int64(m.LastContact/time.Second), 10))
		}
		h.Set("X-Cache", cache)
	}
}

// setContact says what the answering agent knows of the leader.
func setContact(h http.Header, m berth.QueryMeta) {
	h["X-Consul-Knownleader"] = valueFalse
	if m.KnownLeader {
		h["X-Consul-Knownleader"] = valueTrue
	}
	h["X-Consul-Lastcontact"] = numberValue(uint64(max(m.LastContact, 0).Milliseconds()))
}

func (c *call) setEffective() {
	value := valueDefault
	if c.opts.Consistency != berth.ConsistencyDefault {
		value = []string{string(c.opts.Consistency)}
	}
	c.w.Header()["X-Consul-Effective-Consistency"] = value
}

func setContentType(h http.Header, contentType string) {
	switch contentType {
	case "":
	case typeJSON:
		h["Content-Type"] = valueJSON
	case typeText:
		h["Content-Type"] = valueText
	default:
		h["Content-Type"] = []string{contentType}
	}
}

func numberValue(n uint64) []string {
	if n == 0 {
		return valueZero
	}
	return []string{strconv.FormatUint(n, 10)}
}
