package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"berth"
)

// Body limits by kind of endpoint.
type bodyLimit int

const (
	limitJSON   bodyLimit = iota // Limits.MaxBodyBytes
	limitKV                      // Limits.KVMaxValueSize
	limitTxn                     // Limits.TxnMaxRequestLen
	limitStream                  // none: read piece by piece and never held whole
)

// bodyTimeout is how long a client may take to send a body; drainTimeout, how long for what is
// left of one that nobody wants.
const (
	bodyTimeout  = 60 * time.Second
	drainTimeout = 3 * time.Second
)

func (c *call) maxBody() int64 {
	switch c.route.limit {
	case limitKV:
		return c.s.cfg.Limits.KVMaxValueSize
	case limitTxn:
		return max(c.s.cfg.Limits.TxnMaxRequestLen, c.s.cfg.Limits.KVMaxValueSize)
	case limitStream:
		return -1
	}
	return c.s.cfg.Limits.MaxBodyBytes
}

// limitBody refuses a body that is announced as too large and bounds one of unknown length, in
// size and in time.
func (c *call) limitBody() error {
	if c.r.Body == nil || c.r.Body == http.NoBody || c.r.ContentLength == 0 {
		return nil
	}
	limit := c.maxBody()
	if limit < 0 {
		c.r.Body = &steadyBody{ReadCloser: c.r.Body, rc: http.NewResponseController(c.w)}
		return nil
	}
	if c.r.ContentLength > limit {
		return c.tooLarge(limit)
	}
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead { // a read's body is not waited for
		c.readDeadline(bodyTimeout)
	}
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, limit)
	return nil
}

// readDeadline gives the client a while to send its body. Test recorders have no deadlines.
func (c *call) readDeadline(d time.Duration) {
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(d))
}

// steadyBody gives each read of a streamed body its own deadline.
type steadyBody struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (b *steadyBody) Read(p []byte) (int, error) {
	_ = b.rc.SetReadDeadline(time.Now().Add(bodyTimeout)) // recorders in tests have none
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// tooLarge is the answer to a body over the limit. The length is known only if it was announced.
func (c *call) tooLarge(limit int64) error {
	length := ""
	if c.r.ContentLength > 0 {
		length = fmt.Sprintf("(%d bytes)", c.r.ContentLength)
	}
	key := "kv_max_value_size"
	if c.route.limit == limitTxn {
		key = "txn_max_req_len"
	}
	text := fmt.Sprintf("Request body%s too large, max size: %d bytes.", length, limit)
	if c.route.limit != limitJSON {
		text += " See https://developer.hashicorp.com/docs/agent/config/config-files#" + key + "."
	}
	return httpError(http.StatusRequestEntityTooLarge, text)
}

// body reads the whole body, within the route's limit.
func (c *call) body() ([]byte, error) {
	if c.r.Body == nil || c.r.Body == http.NoBody {
		return nil, nil
	}
	b, err := c.readBody()
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{}) // recorders in tests have none
	if err != nil {
		return nil, c.bodyError(err)
	}
	return b, nil
}

// bodyError is what the client is told when its body cannot be read.
func (c *call) bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	var told *berth.InvalidError
	switch {
	case errors.As(err, &told):
		return err
	case errors.As(err, &tooLarge):
		return c.tooLarge(tooLarge.Limit)
	}
	return berth.Invalid("Request body could not be read: " + err.Error())
}

// toldBody is a body whose errors are those that the client is told, for who forwards it.
type toldBody struct {
	io.ReadCloser
	c *call
}

func (b toldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // readers return io.EOF itself
		err = b.c.bodyError(err)
	}
	return n, err
}

// readBody reads what was announced, or up to the end.
func (c *call) readBody() ([]byte, error) {
	n := c.r.ContentLength
	if n <= 0 || n > c.maxBody() {
		return io.ReadAll(c.r.Body)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(c.r.Body, b)
	return b, err
}

// setBody replaces the body, for handlers and forwarding after a prepare step.
func (c *call) setBody(b []byte) {
	c.r.Body = io.NopCloser(bytes.NewReader(b))
	c.r.ContentLength = int64(len(b))
	c.r.TransferEncoding = nil
	c.r.Header.Del("Transfer-Encoding")
	c.r.Header.Del("Content-Length")
}

const decodeFailed = "Request decode failed: "

// decode reads a JSON body into v; a member that v does not have is refused. Names match
// whatever their case.
func (c *call) decode(v any) error {
	b, err := c.body()
	if err != nil {
		return err
	}
	if err := decodeStrict(b, v); err != nil {
		return berth.Invalid(decodeFailed + err.Error())
	}
	return nil
}

// decodeLax is decode for bodies whose unknown members are ignored and which may be absent.
func (c *call) decodeLax(v any) error {
	b, err := c.body()
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return err
	}
	if err := checkUTF8(b); err != nil {
		return berth.Invalid(decodeFailed + err.Error())
	}
	if err := json.Unmarshal(b, v); err != nil {
		return berth.Invalid(decodeFailed + err.Error())
	}
	return nil
}

func decodeStrict(b []byte, v any) error {
	if err := checkUTF8(b); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return explainDecode(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("unexpected data after the JSON value")
	}
	return nil
}

// checkUTF8 refuses a body that is not UTF-8. JSON's decoder would put a replacement for what it
// cannot read, and the name that is stored were not the one that was sent.
func checkUTF8(b []byte) error {
	if utf8.Valid(b) {
		return nil
	}
	at := 0
	for {
		r, n := utf8.DecodeRune(b[at:])
		if r == utf8.RuneError && n <= 1 {
			return fmt.Errorf("byte %d (0x%02x) is not UTF-8; send JSON in UTF-8", at, b[at])
		}
		at += n
	}
}

// explainDecode adds the reason where an unknown member is one of the enterprise edition.
func explainDecode(err error) error {
	text := err.Error()
	switch {
	case strings.HasSuffix(strings.ToLower(text), `unknown field "namespace"`):
		return errors.New(text + " - Namespaces are a Consul Enterprise feature")
	case strings.HasSuffix(strings.ToLower(text), `unknown field "partition"`):
		return errors.New(text + " - Partitions are a Consul Enterprise feature")
	}
	return err
}
