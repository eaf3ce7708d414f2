package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"berth"
)

// exported is a key in the JSON of kv export and kv import.
type exported struct {
	Key   string `json:"key"`
	Flags uint64 `json:"flags"`
	Value []byte `json:"value"`
}

type kvExport struct{ client clientFlags }

func (c *kvExport) flags(f *flagSet) { f.server(&c.client) }

func (c *kvExport) run(e *env, args []string) int {
	prefix, err := e.oneKey(args, true)
	if err != nil {
		return e.errorf("Error! %v", err)
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	q := query()
	q.Set("recurse", "")
	var entries []berth.KVEntry
	if err := cl.get(e.ctx, keyPath(prefix), q, &entries); err != nil && !hasStatus(err, 404) {
		return e.errorf("Error querying agent: %v", err)
	}
	out := make([]exported, 0, len(entries))
	for _, kv := range entries {
		if kv.Value == nil {
			kv.Value = []byte{} // null would not be read back by older tools
		}
		out = append(out, exported{kv.Key, kv.Flags, kv.Value})
	}
	text, err := json.MarshalIndent(out, "", "\t")
	if err != nil {
		return e.errorf("Error exporting keys: %v", err)
	}
	e.printf("%s", text)
	return 0
}

type kvImport struct {
	client clientFlags
	prefix string
}

func (c *kvImport) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.client.datacenter, "datacenter", "", "datacenter to write to; empty is the agent's own")
	f.StringVar(&c.prefix, "prefix", "", "put in front of every key")
}

func (c *kvImport) run(e *env, args []string) int {
	if len(args) > 1 {
		return e.errorf("Error! Too many arguments (expected 1, got %d)", len(args))
	}
	text, err := e.data(args, "-")
	if err != nil {
		return e.errorf("Error! %v", err)
	}
	var entries []exported
	if err := json.Unmarshal(text, &entries); err != nil {
		return e.errorf("Error! Cannot read the data: %s", jsonError(text, err))
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	for _, kv := range entries {
		key := kv.Key
		if c.prefix != "" {
			key = strings.Trim(c.prefix, "/") + "/" + key // not tidied: a//b is another key than a/b
		}
		q := query()
		if kv.Flags != 0 {
			q.Set("flags", fmt.Sprint(kv.Flags))
		}
		var ok bool
		err := cl.put(e.ctx, keyPath(key), q, kv.Value, &ok)
		if err == nil && !ok {
			err = errors.New("the key was not taken")
		}
		if err != nil {
			return e.errorf("Error! Failed writing data for key %s: %v", key, err)
		}
		e.printf("Imported: %s", key)
	}
	return 0
}

// jsonError adds the line to an error of encoding/json.
func jsonError(text []byte, err error) string {
	var at int64 = -1
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	if errors.As(err, &syntax) {
		at = syntax.Offset
	} else if errors.As(err, &typ) {
		at = typ.Offset
	}
	if at < 0 || at > int64(len(text)) {
		return err.Error()
	}
	return fmt.Sprintf("line %d: %v", 1+strings.Count(string(text[:at]), "\n"), err)
}
