package command

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

var (
	// ErrUnknown: the entry's type is not known and not Ignorable; only a newer version can
	// apply it.
	ErrUnknown = errors.New("unknown command type")
	// ErrIgnorable: the entry's type is not known, but this version may skip it.
	ErrIgnorable = errors.New("unknown command type that may be ignored")
)

// handle is the msgpack dialect of the log and of snapshots; it is never changed.
var handle = newHandle()

func newHandle() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.MaxDepth = 64
	h.ExplicitRelease = true
	return h
}

// Encoder turns commands into log entries. It is for one goroutine; the zero value is ready.
type Encoder struct {
	enc *codec.Encoder
	w   writer // memory for the entry while it grows
}

// Encode returns c as a log entry in memory of its own.
func (e *Encoder) Encode(c Command) ([]byte, error) {
	return e.encode(c.Type(), toWire(c))
}

// Value returns v in the log's msgpack dialect, behind the byte t. Snapshots and change streams
// use it for their records.
func (e *Encoder) Value(t byte, v any) ([]byte, error) {
	return e.encode(Type(t), v)
}

// maxScratch is how much memory an Encoder holds on to.
const maxScratch = 64 << 10

func (e *Encoder) encode(t Type, v any) ([]byte, error) {
	if cap(e.w.b) > maxScratch {
		e.w.b = nil
	}
	e.w.b = append(e.w.b[:0], byte(t))
	if e.enc == nil {
		e.enc = codec.NewEncoder(&e.w, handle)
	} else {
		e.enc.Reset(&e.w)
	}
	if err := e.enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return bytes.Clone(e.w.b), nil
}

// writer appends to a slice.
type writer struct{ b []byte }

func (w *writer) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// encoders are kept for Encode: making one costs as much as encoding ten commands.
var encoders = sync.Pool{New: func() any { return new(Encoder) }}

// Encode returns c as a log entry.
func Encode(c Command) ([]byte, error) {
	e := encoders.Get().(*Encoder)
	defer encoders.Put(e)
	return e.Encode(c)
}

// Decoder turns log entries into commands. It is for one goroutine; the zero value is ready.
type Decoder struct {
	dec *codec.Decoder
}

// Decode reads one log entry. What it returns shares no memory with b. The error is
// ErrIgnorable or ErrUnknown for types that this version does not know.
func (d *Decoder) Decode(b []byte) (Command, error) {
	if len(b) == 0 {
		return nil, errors.New("decode command: empty log entry")
	}
	t := Type(b[0])
	c := newCommand(t)
	if c == nil {
		if t&Ignorable != 0 {
			return nil, fmt.Errorf("decode command of type %d: %w", t, ErrIgnorable)
		}
		return nil, fmt.Errorf("decode command of type %d: %w; run a newer version of berth on this server", t, ErrUnknown)
	}
	w := toWire(c)
	if err := d.Value(b[1:], w); err != nil {
		return nil, fmt.Errorf("decode command of type %d: %w", t, err)
	}
	fromWire(w, c)
	return c, nil
}

// Value reads what Encoder.Value has written behind its first byte into v.
func (d *Decoder) Value(b []byte, v any) error {
	if d.dec == nil {
		d.dec = codec.NewDecoderBytes(b, handle)
	} else {
		d.dec.ResetBytes(b)
	}
	if err := d.dec.Decode(v); err != nil {
		return err
	}
	if n := d.dec.NumBytesRead(); n != len(b) {
		return fmt.Errorf("%d bytes left over", len(b)-n)
	}
	return nil
}

// Decode reads one log entry, see Decoder.Decode.
func Decode(b []byte) (Command, error) {
	var d Decoder
	return d.Decode(b)
}

func newCommand(t Type) Command {
	switch t {
	case TypeBatch:
		return new(Batch)
	case TypeCatalog:
		return new(Catalog)
	case TypeKV:
		return new(KV)
	case TypeSession:
		return new(Session)
	case TypeTxn:
		return new(Txn)
	case TypeReap:
		return new(Reap)
	case TypeCoordinates:
		return new(Coordinates)
	case TypeQuery:
		return new(Query)
	case TypeAutopilot:
		return new(Autopilot)
	}
	return nil
}
