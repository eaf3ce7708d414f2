package hostdns

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// planDocker makes berth the only resolver of containers: musl takes the first answer of all
// servers it knows, so a second one would win with "no such name".
func (h *Host) planDocker(p *plan, o Options, f *facts) error {
	bridge := o.Bridge
	if !bridge.IsValid() {
		bridge = f.docker0
	}
	if !bridge.IsValid() {
		return fmt.Errorf("there is no docker0 on this host: name the address at which containers reach berth with --docker-address")
	}
	before, err := readEntry(h.path(daemonJSON))
	if err != nil {
		return err
	}
	if before.Kind == symlink {
		return fmt.Errorf("%s is a link to %s; change that file, or make it a plain one", daemonJSON, before.Target)
	}
	doc, err := parseObject(before.Data)
	if err != nil {
		return fmt.Errorf("%s: %w; repair it first, dockerd would not start with it", daemonJSON, err)
	}
	value, _ := json.Marshal([]string{bridge.String()})
	ptr := Pointer{Pointer: "/dns", After: value}
	if old, ok := doc.get("dns"); ok {
		if equalJSON(old, value) {
			return nil
		}
		ptr.Before = old
	}
	doc.set("dns", value)
	after := Entry{Kind: plain, Data: doc.bytes(before.Data), Mode: modeFile, UID: h.uid()}
	if before.Kind == plain {
		after.Mode, after.UID, after.GID = before.Mode, before.UID, before.GID
	}
	p.changes = append(p.changes, Change{Path: daemonJSON, Before: before, After: after, SHA256: hash(after.Data), Pointers: []Pointer{ptr}})
	if h.validates() {
		p.run([]string{"dockerd", "--validate", "--config-file", h.path(daemonJSON)}, nil, "")
	}
	p.notes = append(p.notes,
		"restart dockerd for new containers to ask berth at "+bridge.String()+" (systemctl restart docker); running containers keep their old resolv.conf until they are made anew",
		"if a firewall drops input from bridges: ufw allow in on docker0 to any port 53; and for user networks: ufw allow in on br-+ to any port 53",
		"for one container only, without this: docker run --dns "+bridge.String()+" ...")
	if _, ok := doc.get("dns-opts"); ok {
		p.notes = append(p.notes, "daemon.json has dns-opts: with ndots:1 or more there, a catalog service shadows the compose service of the same name")
	}
	return nil
}

// validates tells whether dockerd can check its configuration (from version 23).
func (h *Host) validates() bool {
	if !h.runner().Has("dockerd") {
		return false
	}
	help, err := h.runner().Run(context.Background(), "", "dockerd", "--help")
	return err == nil && strings.Contains(help, "--validate")
}

// object is a JSON object that keeps the order of its keys.
type object struct {
	keys   []string
	values map[string]json.RawMessage
}

func parseObject(data []byte) (*object, error) {
	o := &object{values: map[string]json.RawMessage{}}
	if len(bytes.TrimSpace(data)) == 0 {
		return o, nil
	}
	if !json.Valid(data) {
		var any map[string]json.RawMessage
		return nil, fmt.Errorf("not valid JSON: %w", json.Unmarshal(data, &any))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("it is not a JSON object")
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
		o.set(t.(string), v)
	}
	return o, nil
}

func (o *object) get(key string) (json.RawMessage, bool) {
	v, ok := o.values[key]
	return v, ok
}

func (o *object) set(key string, v json.RawMessage) {
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
}

func (o *object) remove(key string) {
	o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
	delete(o.values, key)
}

// bytes writes the object with the indentation of like.
func (o *object) bytes(like []byte) []byte {
	indent := "  "
	for line := range strings.Lines(string(like)) {
		if rest := strings.TrimLeft(line, " \t"); rest != line && strings.HasPrefix(rest, `"`) {
			indent = line[:len(line)-len(rest)]
			break
		}
	}
	var raw bytes.Buffer
	raw.WriteByte('{')
	for i, k := range o.keys {
		if i > 0 {
			raw.WriteByte(',')
		}
		name, _ := json.Marshal(k)
		raw.Write(name)
		raw.WriteByte(':')
		raw.Write(o.values[k])
	}
	raw.WriteByte('}')
	var out bytes.Buffer
	if json.Indent(&out, raw.Bytes(), "", indent) != nil {
		return raw.Bytes()
	}
	out.WriteByte('\n')
	return out.Bytes()
}

func equalJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

// revert takes back the values of a JSON file that are still as install left them; left names
// those that are not.
func revert(data []byte, pointers []Pointer) (out []byte, left []string, err error) {
	doc, err := parseObject(data)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range pointers {
		key := strings.TrimPrefix(p.Pointer, "/")
		now, ok := doc.get(key)
		switch {
		case !ok || !equalJSON(now, p.After):
			left = append(left, p.Pointer)
		case p.Before == nil:
			doc.remove(key)
		default:
			doc.set(key, p.Before)
		}
	}
	return doc.bytes(data), left, nil
}
