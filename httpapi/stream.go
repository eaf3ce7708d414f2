package httpapi

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
)

// pieceBytes is how much of an answer a client has writeTimeout to take.
const pieceBytes = 64 << 10

// streamWriter writes a body of unknown length. Its header goes out with the first byte, and
// every write has its own deadline, so that a client may read for as long as it does read.
type streamWriter struct {
	c           *call
	contentType string
	started     bool
}

func (w *streamWriter) start() {
	if w.started {
		return
	}
	w.started = true
	w.c.w.Header().Set("Content-Type", w.contentType)
	w.c.w.WriteHeader(http.StatusOK)
}

// Write sends p.
func (w *streamWriter) Write(p []byte) (int, error) {
	w.start()
	return w.c.writePieces(p)
}

// Flush sends what is buffered.
func (w *streamWriter) Flush() error {
	w.start()
	return w.c.flush()
}

// writePieces sends p with a deadline for each piece, as a client on a slow line takes a while for
// all of them. With nothing in p the deadline is for what net/http still holds.
func (c *call) writePieces(p []byte) (n int, err error) {
	for {
		c.writeDeadline(writeTimeout)
		m, err := c.w.Write(p[n:min(n+pieceBytes, len(p))])
		if n += m; err != nil || n == len(p) {
			return n, err
		}
	}
}

// flush sends what is buffered. Nothing may follow for a long time, and HTTP/2 ends a stream whose
// deadline passes even though nobody writes: so there is none afterwards.
func (c *call) flush() error {
	c.writeDeadline(writeTimeout)
	defer c.writeDeadline(0)
	return http.NewResponseController(c.w).Flush()
}

// listOf is v as a slice whose elements can be encoded one by one.
func listOf(v any) (reflect.Value, bool) {
	if _, own := v.(json.Marshaler); own {
		return reflect.Value{}, false
	}
	list := reflect.ValueOf(v)
	return list, list.Kind() == reflect.Slice && list.Len() > 1 && list.Type().Elem().Kind() != reflect.Uint8
}

// writeList sends a list as JSON. One that is longer than a piece is encoded as the client takes
// it: a client that does not read holds a piece, not the whole, nor the processor's time for it.
func (c *call) writeList(list reflect.Value) {
	buf := getBuffer()
	defer putBuffer(buf)
	enc := json.NewEncoder(buf)
	var out *listStream
	for i := range list.Len() {
		buf.WriteByte("[,"[min(i, 1)])
		if err := enc.Encode(list.Index(i).Addr().Interface()); err != nil {
			c.cannotEncode(err, out != nil)
			return
		}
		buf.Truncate(buf.Len() - 1) // Encode's line break
		if buf.Len() < pieceBytes {
			continue
		}
		if out == nil {
			out = c.openList()
			defer out.free()
		}
		if _, err := out.Write(buf.Bytes()); err != nil {
			return
		}
		buf.Reset()
	}
	buf.WriteByte(']')
	if out == nil {
		c.write(http.StatusOK, typeJSON, buf.Bytes())
		return
	}
	if _, err := out.Write(buf.Bytes()); err == nil {
		out.finish()
	}
}

// cannotEncode tells the client of a value that has no JSON; a body that has begun is broken off.
func (c *call) cannotEncode(err error, begun bool) {
	c.s.log.Error("cannot encode response", "path", c.r.URL.Path, "err", err)
	if begun {
		panic(http.ErrAbortHandler)
	}
	c.fail(err)
}

// listStream is a streamed body, compressed when the client likes that.
type listStream struct {
	io.Writer
	z   *gzip.Writer // nil: plain
	buf *bufio.Writer
}

func (c *call) openList() *listStream {
	w := &streamWriter{c: c, contentType: typeJSON}
	if !acceptsGzip(c.r) {
		return &listStream{Writer: w}
	}
	c.w.Header()["Content-Encoding"] = valueGzip
	s := &listStream{z: gzipWriters.Get().(*gzip.Writer), buf: bufio.NewWriterSize(w, 16<<10)}
	s.z.Reset(s.buf)
	s.Writer = s.z
	return s
}

// finish sends what is left.
func (s *listStream) finish() {
	if s.z == nil {
		return
	}
	if s.z.Close() == nil {
		_ = s.buf.Flush() // a client that has gone needs no answer
	}
}

// free gives the compressor back.
func (s *listStream) free() {
	if s.z != nil {
		s.z.Reset(io.Discard)
		gzipWriters.Put(s.z)
	}
}
