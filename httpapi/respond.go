package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"berth"
)

// What a handler may return besides an error:
//   - nil: 200 and an empty body;
//   - a reply: exactly that;
//   - a body: 200 and that;
//   - answered: the handler has written the response itself;
//   - anything else: 200 and the value as JSON.

// reply is a response other than "200 and this value as JSON".
type reply struct {
	status      int // 0 is 200
	contentType string
	body        []byte
	value       any // when set, the body is its JSON
}

// answered is returned by handlers that have written the response.
var answered = &reply{}

var jsonBool = map[bool][]byte{true: []byte("true"), false: []byte("false")}

// jsonNull is returned by handlers whose answer is the JSON value null.
var jsonNull = json.RawMessage("null")

const (
	typeJSON   = "application/json"
	typeText   = "text/plain; charset=utf-8"
	typeBinary = "application/octet-stream"

	gzipMinBytes  = 512     // shorter bodies are not worth compressing
	maxPooledByte = 1 << 20 // larger buffers are left to the garbage collector
	writeTimeout  = 60 * time.Second
)

// httpError is an error that already knows its status; for what the package itself refuses.
func httpError(status int, text string) error {
	return &berth.InvalidError{Status: status, Text: text}
}

// statusOf is the one translation from errors to HTTP statuses.
func statusOf(err error) int {
	text := err.Error()
	if errors.Is(err, berth.ErrPermissionDenied) || strings.Contains(text, "Permission denied") || strings.Contains(text, "ACL not found") {
		return http.StatusForbidden
	}
	if strings.Contains(text, "RPC rate limit exceeded") || strings.Contains(text, "Rate limit reached, try again later") {
		return http.StatusTooManyRequests
	}
	var tooLarge *http.MaxBytesError
	var invalid *berth.InvalidError
	switch {
	case errors.As(err, &invalid):
		if invalid.Status >= 400 && invalid.Status <= 599 {
			return invalid.Status
		}
		return http.StatusBadRequest
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, berth.ErrClosed), errors.Is(err, berth.ErrUnsynced), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// respond writes what a handler returned.
func (c *call) respond(v any, err error) {
	if err != nil {
		c.fail(err)
		return
	}
	switch v := v.(type) {
	case nil:
		contentType := typeJSON
		if c.route.binary && c.r.Method == http.MethodPut {
			contentType = typeBinary
		}
		c.write(http.StatusOK, contentType, nil)
	case *reply:
		if v == answered {
			c.writeDeadline(writeTimeout) // for what net/http still holds
			return
		}
		if v.value != nil {
			c.writeJSON(v.status, v.value)
			return
		}
		c.write(v.status, v.contentType, v.body)
	case *body:
		if len(v.json) >= gzipMinBytes && acceptsGzip(c.r) {
			c.send(http.StatusOK, typeJSON, v.gzipped(), true)
			return
		}
		c.send(http.StatusOK, typeJSON, v.json, false)
	default:
		c.writeJSON(http.StatusOK, v)
	}
}

// fail writes an error as plain text, the way Consul's clients expect it.
func (c *call) fail(err error) {
	status := statusOf(err)
	if status >= 500 && c.ctx.Err() == nil {
		c.s.log.Debug("request failed", "method", c.r.Method, "path", c.r.URL.Path, "status", status, "err", err)
	}
	c.w.Header().Del("X-Consul-Effective-Consistency")
	c.write(status, typeText, []byte(err.Error()))
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func getBuffer() *bytes.Buffer { return buffers.Get().(*bytes.Buffer) }

func putBuffer(b *bytes.Buffer) {
	if b.Cap() <= maxPooledByte {
		b.Reset()
		buffers.Put(b)
	}
}

// writeJSON encodes into a pooled buffer, so that a value that cannot be encoded still gives a
// clean error.
func (c *call) writeJSON(status int, v any) {
	pretty := c.pretty()
	if done, ok := v.(bool); ok && !pretty { // what writes answer
		c.write(status, typeJSON, jsonBool[done])
		return
	}
	if list, ok := listOf(v); ok && !pretty && status <= http.StatusOK && c.r.Method != http.MethodHead { // HEAD tells the length
		c.writeList(list)
		return
	}
	buf := getBuffer()
	defer putBuffer(buf)
	if a, ok := v.(appender); ok && !pretty {
		body := a.appendJSON(buf.AvailableBuffer())
		c.write(status, typeJSON, body)
		buf.Write(body) // the pool keeps the larger buffer
		return
	}
	enc := json.NewEncoder(buf)
	if pretty {
		enc.SetIndent("", "    ")
	}
	if err := enc.Encode(v); err != nil {
		c.cannotEncode(err, false)
		return
	}
	body := buf.Bytes()
	if !pretty || !c.has("pretty") {
		body = bytes.TrimSuffix(body, []byte("\n"))
	}
	c.write(status, typeJSON, body)
}

// pretty tells whether JSON is indented.
func (c *call) pretty() bool { return c.s.cfg.Dev || c.has("pretty") }

// write sends the response, compressed when the client likes that and it is long enough.
func (c *call) write(status int, contentType string, body []byte) {
	if len(body) < gzipMinBytes || !acceptsGzip(c.r) {
		c.send(status, contentType, body, false)
		return
	}
	buf := getBuffer()
	defer putBuffer(buf)
	compress(buf, body)
	c.send(status, contentType, buf.Bytes(), true)
}

// send writes status, headers and body.
func (c *call) send(status int, contentType string, body []byte, gzipped bool) {
	if status == 0 {
		status = http.StatusOK
	}
	h := c.w.Header()
	setContentType(h, contentType)
	if c.r.ContentLength != 0 {
		c.readDeadline(drainTimeout) // net/http first reads what is left of the body; the next request has its own deadline
	}
	if gzipped {
		h["Content-Encoding"] = valueGzip
	}
	if gzipped || len(body) > lengthKnown || c.r.Method == http.MethodHead {
		h["Content-Length"] = numberValue(uint64(len(body)))
	}
	c.w.WriteHeader(status)
	if c.r.Method == http.MethodHead {
		body = nil
	}
	_, _ = c.writePieces(body) // a client that has gone needs no answer
}

var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is a valid constant
	return w
}}

func compress(dst *bytes.Buffer, body []byte) {
	z := gzipWriters.Get().(*gzip.Writer)
	z.Reset(dst)
	_, _ = z.Write(body) // a bytes.Buffer takes everything
	_ = z.Close()
	gzipWriters.Put(z)
}

// acceptsGzip tells whether the client takes gzip, by name and with a weight above 0.
func acceptsGzip(r *http.Request) bool {
	for _, line := range r.Header["Accept-Encoding"] {
		for part := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
			if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
				continue
			}
			q, found := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			weight, err := strconv.ParseFloat(q, 64)
			return !found || err != nil || weight > 0
		}
	}
	return false
}

// writeDeadline gives the client d to take what is written next. Test recorders cannot.
func (c *call) writeDeadline(d time.Duration) {
	t := time.Time{}
	if d > 0 {
		t = time.Now().Add(d)
	}
	_ = http.NewResponseController(c.w).SetWriteDeadline(t)
}
