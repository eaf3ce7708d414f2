package httpapi

import (
	"context"
	"net/http"
	"strconv"

	"berth"
)

// kvMissing is the answer for a key or prefix that does not exist: 404 and nothing else.
var kvMissing = &reply{status: http.StatusNotFound}

// kvGet answers GET /v1/kv/<key>.
func kvGet(c *call) (any, error) {
	switch {
	case c.has("keys"):
		return c.kvKeys()
	case c.has("recurse"):
		return c.kvRecurse()
	case c.tail == "":
		return nil, berth.Invalid("Missing key name")
	}
	e, err := read(c, func(ctx context.Context, q berth.QueryOptions) (*berth.KVEntry, berth.QueryMeta, error) {
		return c.s.cfg.Store.KVGet(ctx, c.tail, q)
	})
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return kvMissing, nil
	case !c.has("raw"):
		return []*berth.KVEntry{e}, nil
	}
	h := c.w.Header()
	h.Set("X-Content-Type-Options", "nosniff") // the value is somebody else's: no browser shall run it
	h.Set("Content-Security-Policy", "sandbox")
	return &reply{contentType: "text/plain", body: e.Value}, nil
}

func (c *call) kvRecurse() (any, error) {
	entries, err := read(c, func(ctx context.Context, q berth.QueryOptions) ([]*berth.KVEntry, berth.QueryMeta, error) {
		return c.s.cfg.Store.KVList(ctx, c.tail, q)
	})
	if err == nil && len(entries) == 0 {
		return kvMissing, nil
	}
	return entries, err
}

func (c *call) kvKeys() (any, error) {
	if err := c.authorize("key", List, c.tail); err != nil {
		return nil, err
	}
	separator := c.form.Get("separator")
	if separator == "" {
		separator = c.form.Get("seperator") // as old clients spell it
	}
	keys, err := read(c, func(ctx context.Context, q berth.QueryOptions) ([]string, berth.QueryMeta, error) {
		return c.s.cfg.Store.KVKeys(ctx, c.tail, separator, q)
	})
	if err == nil && len(keys) == 0 && c.tail != "" {
		return kvMissing, nil
	}
	return list(keys), err
}

// conflict refuses parameters that exclude one another.
func (c *call) conflict(names ...string) *reply {
	given := 0
	for _, n := range names {
		if c.has(n) {
			given++
		}
	}
	if given < 2 {
		return nil
	}
	return &reply{status: http.StatusBadRequest, contentType: typeText, body: []byte("Conflicting flags: " + c.form.Encode() + "\n")}
}

// number reads a parameter that is an unsigned number.
func (c *call) number(name string) (uint64, error) {
	n, err := strconv.ParseUint(c.form.Get(name), 10, 64)
	if err != nil {
		return 0, berth.Rejected(err.Error())
	}
	return n, nil
}

// kvPut answers PUT /v1/kv/<key>.
func kvPut(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing key name")
	}
	if r := c.conflict("cas", "acquire", "release"); r != nil {
		return r, nil
	}
	op := berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: c.tail}}
	var err error
	if c.has("flags") {
		if op.Entry.Flags, err = c.number("flags"); err != nil {
			return nil, err
		}
	}
	switch {
	case c.has("cas"):
		op.Verb = berth.KVCAS
		if op.Entry.ModifyIndex, err = c.number("cas"); err != nil {
			return nil, err
		}
	case c.has("acquire"):
		op.Verb, op.Entry.Session = berth.KVLock, c.form.Get("acquire")
	case c.has("release"):
		op.Verb, op.Entry.Session = berth.KVUnlock, c.form.Get("release")
	}
	if op.Entry.Value, err = c.body(); err != nil {
		return nil, err
	}
	done, err := c.s.cfg.Store.KVApply(c.ctx, op)
	if err != nil {
		return nil, err
	}
	return done, nil
}

// kvDelete answers DELETE /v1/kv/<key>.
func kvDelete(c *call) (any, error) {
	if r := c.conflict("recurse", "cas"); r != nil {
		return r, nil
	}
	op := berth.KVOp{Verb: berth.KVDelete, Entry: berth.KVEntry{Key: c.tail}}
	switch {
	case c.has("recurse"):
		op.Verb = berth.KVDeleteTree
	case c.tail == "":
		return nil, berth.Invalid("Missing key name")
	case c.has("cas"):
		op.Verb = berth.KVDeleteCAS
		n, err := c.number("cas")
		if err != nil {
			return nil, err
		}
		op.Entry.ModifyIndex = n
	}
	done, err := c.s.cfg.Store.KVApply(c.ctx, op)
	if err != nil {
		return nil, err
	}
	return done, nil
}
