package httpapi

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"berth"
)

// appender is a value that writes its own JSON: health answers are asked for far more often
// than anything else, and reflection would be most of their cost. What it appends is byte for
// byte what encoding/json makes of the types in wire.go.
type appender interface {
	appendJSON(b []byte) []byte
}

// healthList is the answer of /v1/health/service.
type healthList []*berth.HealthEntry

// MarshalJSON is for lists inside other values.
func (l healthList) MarshalJSON() ([]byte, error) { return l.appendJSON(nil), nil }

func (l healthList) appendJSON(b []byte) []byte {
	b = append(b, '[')
	for i, e := range l {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"Node":`...)
		b = appendNode(b, e.Node)
		b = append(b, `,"Service":`...)
		b = appendService(b, e.Service)
		b = append(b, `,"Checks":[`...)
		for j, c := range e.Checks {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendCheck(b, c)
		}
		b = append(b, "]}"...)
	}
	return append(b, ']')
}

func appendNode(b []byte, n *berth.Node) []byte {
	if n == nil {
		return append(b, "null"...)
	}
	b = appendMember(b, `{"ID":`, n.ID)
	b = appendMember(b, `,"Node":`, n.Name)
	b = appendMember(b, `,"Address":`, n.Address)
	b = appendMember(b, `,"Datacenter":`, n.Datacenter)
	b = appendMap(append(b, `,"TaggedAddresses":`...), n.TaggedAddresses)
	b = appendMap(append(b, `,"Meta":`...), n.Meta)
	return append(appendIndexes(b, n.CreateIndex, n.ModifyIndex), '}')
}

func appendService(b []byte, s *berth.ServiceInstance) []byte {
	b = append(b, '{')
	if s.Kind != "" {
		b = append(appendMember(b, `"Kind":`, s.Kind), ',')
	}
	b = appendMember(b, `"ID":`, s.ID)
	b = appendMember(b, `,"Service":`, s.Name)
	b = appendList(append(b, `,"Tags":`...), s.Tags)
	b = appendMember(b, `,"Address":`, s.Address)
	if len(s.TaggedAddresses) > 0 {
		b = append(b, `,"TaggedAddresses":`...)
		b = appendValue(b, s.TaggedAddresses)
	}
	b = appendMap(append(b, `,"Meta":`...), s.Meta)
	if s.Port != 0 {
		b = strconv.AppendInt(append(b, `,"Port":`...), int64(s.Port), 10)
	}
	if s.SocketPath != "" {
		b = appendMember(b, `,"SocketPath":`, s.SocketPath)
	}
	w := weights(s)
	b = strconv.AppendInt(append(b, `,"Weights":{"Passing":`...), int64(w.Passing), 10)
	b = strconv.AppendInt(append(b, `,"Warning":`...), int64(w.Warning), 10)
	b = strconv.AppendBool(append(b, `},"EnableTagOverride":`...), s.EnableTagOverride)
	b = append(b, `,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"PeerName":""`...)
	return append(appendIndexes(b, s.CreateIndex, s.ModifyIndex), '}')
}

func appendCheck(b []byte, c *berth.Check) []byte {
	b = appendMember(b, `{"Node":`, c.Node)
	b = appendMember(b, `,"CheckID":`, c.CheckID)
	b = appendMember(b, `,"Name":`, c.Name)
	b = appendMember(b, `,"Status":`, c.Status)
	b = appendMember(b, `,"Notes":`, c.Notes)
	b = appendMember(b, `,"Output":`, c.Output)
	b = appendMember(b, `,"ServiceID":`, c.ServiceID)
	b = appendMember(b, `,"ServiceName":`, c.ServiceName)
	b = appendList(append(b, `,"ServiceTags":`...), c.ServiceTags)
	b = appendMember(b, `,"Type":`, c.Type)
	b = appendMember(b, `,"Interval":`, c.Interval)
	b = appendMember(b, `,"Timeout":`, c.Timeout)
	b = strconv.AppendInt(append(b, `,"ExposedPort":`...), int64(c.ExposedPort), 10)
	b = append(b, `,"Definition":`...)
	if reflect.ValueOf(&c.Definition).Elem().IsZero() {
		b = append(b, "{}"...)
	} else {
		b = appendValue(b, &c.Definition)
	}
	return append(appendIndexes(b, c.CreateIndex, c.ModifyIndex), '}')
}

func appendIndexes(b []byte, create, modify uint64) []byte {
	b = strconv.AppendUint(append(b, `,"CreateIndex":`...), create, 10)
	return strconv.AppendUint(append(b, `,"ModifyIndex":`...), modify, 10)
}

func appendMember(b []byte, name, value string) []byte {
	return appendString(append(b, name...), value)
}

func appendList(b []byte, items []string) []byte {
	b = append(b, '[')
	for i, s := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// appendMap writes a map with its keys in order.
func appendMap(b []byte, m map[string]string) []byte {
	if m == nil {
		return append(b, "null"...)
	}
	var few [8]string
	keys := slices.AppendSeq(few[:0], maps.Keys(m))
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k), ':')
		b = appendString(b, m[k])
	}
	return append(b, '}')
}

// appendString writes a string literal; one with anything but plain characters is left to
// encoding/json and its escapes.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return appendValue(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendValue is for what is rare; the types it is used with can always be encoded.
func appendValue(b []byte, v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		return append(b, "null"...)
	}
	return append(b, raw...)
}
