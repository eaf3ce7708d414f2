package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"

	"berth"
)

var kvSpecs = []spec{
	{name: "kv get", args: "[KEY_OR_PREFIX]", synopsis: "Read keys", make: func() action { return new(kvGet) }},
	{
		name: "kv put", args: "KEY [DATA]", synopsis: "Write a key",
		help: "DATA is the value itself, @FILE to read it from a file, or - to read it from standard input.",
		make: func() action { return new(kvPut) },
	},
	{name: "kv delete", args: "KEY_OR_PREFIX", synopsis: "Delete keys", make: func() action { return new(kvDelete) }},
	{name: "kv export", args: "[PREFIX]", synopsis: "Write keys as JSON", make: func() action { return new(kvExport) }},
	{
		name: "kv import", args: "[DATA]", synopsis: "Read keys from JSON",
		help: "DATA is the JSON itself, @FILE to read it from a file, or - (the default) for standard input.",
		make: func() action { return new(kvImport) },
	},
}

// oneKey takes the only argument and strips one leading slash, with a warning.
func (e *env) oneKey(args []string, optional bool) (string, error) {
	switch {
	case len(args) == 0 && optional:
		return "", nil
	case len(args) == 0:
		//lint:ignore ST1005 as Consul says it
		return "", fmt.Errorf("Missing KEY argument")
	case len(args) > 1:
		//lint:ignore ST1005 as Consul says it
		return "", fmt.Errorf("Too many arguments (expected 1, got %d)", len(args))
	}
	return e.trimKey(args[0]), nil
}

func (e *env) trimKey(key string) string {
	if rest, ok := strings.CutPrefix(key, "/"); ok {
		fmt.Fprintf(e.stderr, "Warning: the leading / of %q is removed: keys start without one\n", key)
		return rest
	}
	return key
}

type kvGet struct {
	client    clientFlags
	base64    bool
	detailed  bool
	keys      bool
	recurse   bool
	separator string
}

func (c *kvGet) flags(f *flagSet) {
	f.server(&c.client)
	f.BoolVar(&c.base64, "base64", false, "print values as base64")
	f.BoolVar(&c.detailed, "detailed", false, "print all that is known of the key")
	f.BoolVar(&c.keys, "keys", false, "print the names of keys with this prefix")
	f.BoolVar(&c.recurse, "recurse", false, "print all keys with this prefix")
	f.StringVar(&c.separator, "separator", "/", "with -keys: cut names after this")
}

func (c *kvGet) run(e *env, args []string) int {
	key, err := e.oneKey(args, c.keys || c.recurse)
	if err != nil {
		return e.errorf("Error! %v", err)
	}
	if key == "" && !c.keys && !c.recurse {
		return e.errorf("Error! Missing KEY argument")
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	if c.keys {
		return c.names(e, cl, key)
	}
	q := query()
	if c.recurse {
		q.Set("recurse", "")
	}
	var entries []berth.KVEntry
	err = cl.get(e.ctx, keyPath(key), q, &entries)
	switch {
	case hasStatus(err, 404) && c.recurse:
		return 0
	case hasStatus(err, 404):
		return e.errorf("Error! No key exists at: %s", key)
	case err != nil:
		return e.errorf("Error querying agent: %v", err)
	}
	for i, kv := range entries {
		c.print(e, kv, i)
	}
	return 0
}

func (c *kvGet) names(e *env, cl *client, prefix string) int {
	var names []string
	q := query("separator", c.separator)
	q.Set("keys", "")
	err := cl.get(e.ctx, keyPath(prefix), q, &names)
	if err != nil && !hasStatus(err, 404) {
		return e.errorf("Error querying agent: %v", err)
	}
	for _, n := range names {
		e.printf("%s", n)
	}
	return 0
}

func (c *kvGet) print(e *env, kv berth.KVEntry, i int) {
	value := string(kv.Value)
	if c.base64 {
		value = base64.StdEncoding.EncodeToString(kv.Value)
	}
	switch {
	case c.detailed:
		if i > 0 {
			e.printf("")
		}
		session := kv.Session
		if session == "" {
			session = "-"
		}
		e.table([][]string{
			{"CreateIndex", fmt.Sprint(kv.CreateIndex)}, {"Flags", fmt.Sprint(kv.Flags)}, {"Key", kv.Key},
			{"LockIndex", fmt.Sprint(kv.LockIndex)}, {"ModifyIndex", fmt.Sprint(kv.ModifyIndex)},
			{"Session", session},
		})
		e.printf("%-13s%s", "Value", value)
	case c.recurse:
		e.printf("%s:%s", kv.Key, value)
	default:
		e.printf("%s", value)
	}
}

type kvPut struct {
	client           clientFlags
	cas, b64         bool
	modifyIndex      uint64
	flagBits         uint64
	session          string
	acquire, release bool
}

func (c *kvPut) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.client.datacenter, "datacenter", "", "datacenter to write to; empty is the agent's own")
	f.BoolVar(&c.cas, "cas", false, "write only when the key is as -modify-index says")
	f.Uint64Var(&c.modifyIndex, "modify-index", 0, "with -cas: the key's ModifyIndex; 0 is a key that does not exist")
	f.Uint64Var(&c.flagBits, "flags", 0, "number kept with the key")
	f.BoolVar(&c.b64, "base64", false, "DATA is base64")
	f.StringVar(&c.session, "session", "", "session that holds or shall hold the lock")
	f.BoolVar(&c.acquire, "acquire", false, "take the lock")
	f.BoolVar(&c.release, "release", false, "give the lock back")
}

func (c *kvPut) run(e *env, args []string) int {
	if len(args) < 1 || len(args) > 2 {
		return e.errorf("Error! kv put needs KEY and at most one DATA argument, got %d arguments", len(args))
	}
	key := e.trimKey(args[0])
	if key == "" {
		return e.errorf("Error! Missing KEY argument")
	}
	if (c.acquire || c.release) && c.session == "" {
		return e.errorf("Error! Missing -session (required with -acquire and -release)")
	}
	if c.acquire && c.release {
		return e.errorf("Error! -acquire and -release exclude each other")
	}
	data, err := e.data(args[1:], "")
	if err == nil && c.b64 {
		data, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
	}
	if err != nil {
		return e.errorf("Error! %v", err)
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	return c.write(e, cl, key, data)
}

func (c *kvPut) write(e *env, cl *client, key string, data []byte) int {
	q := query()
	if c.flagBits != 0 {
		q.Set("flags", fmt.Sprint(c.flagBits))
	}
	done, failed := "Success! Data written to: "+key, "Error! Could not write to: "+key
	switch {
	case c.cas:
		q.Set("cas", fmt.Sprint(c.modifyIndex))
		failed = "Error! Did not write to " + key + ": CAS failed"
		if c.modifyIndex == 0 {
			failed = "Error! Did not write to " + key + ": CAS performed with index=0 and key already exists."
		}
	case c.acquire:
		q.Set("acquire", c.session)
		done, failed = "Success! Lock acquired on: "+key, "Error! Did not acquire lock"
	case c.release:
		q.Set("release", c.session)
		done, failed = "Success! Lock released on: "+key, "Error! Did not release lock"
	}
	var ok bool
	if err := cl.put(e.ctx, keyPath(key), q, data, &ok); err != nil {
		return e.errorf("Error! Failed writing data: %v", err)
	}
	if !ok {
		return e.errorf("%s", failed)
	}
	e.printf("%s", done)
	return 0
}

// data is an argument's text, the content of @FILE, or standard input for "-".
func (e *env) data(args []string, def string) ([]byte, error) {
	arg := def
	if len(args) > 0 {
		arg = args[0]
	}
	if arg == "-" {
		return io.ReadAll(e.stdin)
	}
	if name, ok := strings.CutPrefix(arg, "@"); ok {
		return os.ReadFile(name)
	}
	return []byte(arg), nil
}

type kvDelete struct {
	client       clientFlags
	cas, recurse bool
	modifyIndex  uint64
}

func (c *kvDelete) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.client.datacenter, "datacenter", "", "datacenter to delete from; empty is the agent's own")
	f.BoolVar(&c.cas, "cas", false, "delete only when the key is as -modify-index says")
	f.Uint64Var(&c.modifyIndex, "modify-index", 0, "with -cas: the key's ModifyIndex")
	f.BoolVar(&c.recurse, "recurse", false, "delete all keys with this prefix")
}

func (c *kvDelete) run(e *env, args []string) int {
	key, err := e.oneKey(args, false)
	switch {
	case err != nil:
		return e.errorf("Error! %v", err)
	case key == "" && !c.recurse:
		return e.errorf("Error! Missing KEY argument")
	case c.cas && c.recurse:
		return e.errorf("Error! Cannot specify both -cas and -recurse!")
	case c.cas && c.modifyIndex == 0:
		return e.errorf("Error! Cannot use -cas without also specifying -modify-index")
	case !c.cas && c.modifyIndex != 0:
		return e.errorf("Error! Cannot specify -modify-index without -cas")
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	q, done := query(), "Success! Deleted key: "+key
	if c.recurse {
		q.Set("recurse", "")
		done = "Success! Deleted keys with prefix: " + key
	}
	if c.cas {
		q.Set("cas", fmt.Sprint(c.modifyIndex))
	}
	var ok bool
	if err := cl.call(e.ctx, "DELETE", keyPath(key), q, nil, &ok); err != nil {
		return e.errorf("Error! Did not delete key %s: %v", key, err)
	}
	if !ok {
		return e.errorf("Error! Did not delete key %s: CAS failed", key)
	}
	e.printf("%s", done)
	return 0
}
