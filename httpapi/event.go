package httpapi

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"berth"
)

// eventVersion is the version of the event format that clients see.
const eventVersion = 1

// eventFire answers PUT /v1/event/fire/<name>.
func eventFire(c *call) (any, error) {
	if c.tail == "" {
		return nil, berth.Invalid("Missing name")
	}
	e := &berth.UserEvent{ID: newUUID(), Name: c.tail, NodeFilter: c.form.Get("node"), ServiceFilter: c.form.Get("service"),
		TagFilter: c.form.Get("tag"), Version: eventVersion}
	if e.TagFilter != "" && e.ServiceFilter == "" {
		return nil, berth.Rejected("Cannot provide tag filter without service filter")
	}
	for what, expr := range map[string]string{"node": e.NodeFilter, "service": e.ServiceFilter, "tag": e.TagFilter} {
		if _, err := regexp.Compile(expr); err != nil {
			return nil, berth.Rejected(fmt.Sprintf("Invalid %s filter: %v", what, err))
		}
	}
	payload, err := c.body()
	if err != nil {
		return nil, err
	}
	if len(payload) > 0 {
		e.Payload = payload
	}
	if err := c.s.cfg.Store.FireEvent(c.ctx, e); err != nil {
		return nil, err
	}
	fired := *e
	fired.LTime = 0 // it is known only when the event comes back
	return &fired, nil
}

// newUUID is a random identifier in the form of RFC 9562, version 4.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, since Go 1.24
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	x := hex.EncodeToString(b[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// eventList answers GET /v1/event/list: what this agent has received. The index is the last
// event's identity, so it waits for another one, not for a larger one.
func eventList(c *call) (any, error) {
	var index uint64
	if v := c.form.Get("index"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return nil, berth.Invalid("Invalid index")
		}
		index = n
	}
	limit, err := c.wait()
	if err != nil {
		return nil, err
	}
	if c.form.Get("wait") == "" {
		limit = c.s.cfg.MaxQueryTime
	}
	name := c.form.Get("name")
	var events []*berth.UserEvent
	current := uint64(1)
	waitFor(c.ctx, limit, c.s.cfg.Store.EventsChanged, func() bool {
		events = eventsNamed(c.s.cfg.Store.Events(), name)
		current = 1
		if len(events) > 0 {
			current = eventIndex(events[len(events)-1].ID)
		}
		return index == 0 || current != index
	})
	c.w.Header().Set("X-Consul-Index", strconv.FormatUint(current, 10))
	return events, nil
}

func eventsNamed(all []*berth.UserEvent, name string) []*berth.UserEvent {
	out := make([]*berth.UserEvent, 0, len(all))
	for _, e := range all {
		if name == "" || e.Name == name {
			out = append(out, e)
		}
	}
	return out
}

// eventIndex folds an event's ID into a number that is not 0: the XOR of its halves.
func eventIndex(id string) uint64 {
	digits := strings.ReplaceAll(id, "-", "")
	if len(digits) != 32 {
		return math.MaxInt64
	}
	high, err1 := strconv.ParseUint(digits[:16], 16, 64)
	low, err2 := strconv.ParseUint(digits[16:], 16, 64)
	if err1 != nil || err2 != nil {
		return math.MaxInt64
	}
	return max(high^low, 1)
}
