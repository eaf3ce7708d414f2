package httpapi

import (
	"bytes"
	"sync"

	"berth"
)

// maxKeptBytes bounds the memory of kept answers.
const maxKeptBytes = 8 << 20

// bodies keeps the JSON of services' health for as long as the store gives the very same entries,
// which it does while nothing in them changes: then an answer is a look-up and a write, and many
// waiting readers share one. It is safe for concurrent use.
type bodies struct {
	mu    sync.RWMutex // guards what follows
	kept  map[bodyKey]*body
	bytes int
}

type bodyKey struct {
	service string
	passing bool
}

// body is the JSON of entries; it is not changed.
type body struct {
	entries []*berth.HealthEntry // what the store gave
	json    []byte
	gzipped func() []byte
}

// find gives the body made of these entries; nil when there is none.
func (b *bodies) find(k bodyKey, entries []*berth.HealthEntry) *body {
	b.mu.RLock()
	found := b.kept[k]
	b.mu.RUnlock()
	if found == nil || len(found.entries) != len(entries) || len(entries) == 0 || &found.entries[0] != &entries[0] {
		return nil
	}
	return found
}

// keep makes the body of a list that was selected from entries, and keeps it for these.
func (b *bodies) keep(k bodyKey, entries, selected healthList) *body {
	made := &body{entries: entries, json: selected.appendJSON(nil)}
	made.gzipped = sync.OnceValue(func() []byte {
		var buf bytes.Buffer
		compress(&buf, made.json)
		return buf.Bytes()
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.kept[k]; old != nil {
		b.bytes -= old.size(k)
		delete(b.kept, k)
	}
	if len(entries) == 0 {
		return made
	}
	b.bytes += made.size(k)
	if b.kept == nil || b.bytes > maxKeptBytes { // which of them is asked for shows soon enough
		b.kept, b.bytes = make(map[bodyKey]*body), made.size(k)
	}
	if b.bytes <= maxKeptBytes {
		b.kept[k] = made
	}
	return made
}

// size is about what a body takes, with its compressed form and what holds it.
func (v *body) size(k bodyKey) int { return len(k.service) + 2*len(v.json) + 256 }
