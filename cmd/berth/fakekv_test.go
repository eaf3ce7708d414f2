package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"berth"
)

// fakeStore is an agent with keys, sessions and events, which answers blocking queries.
type fakeStore struct {
	*httptest.Server
	mu       sync.Mutex // guards all below
	index    uint64
	keys     map[string]*berth.KVEntry
	sessions map[string]string // ID to behaviour
	events   []berth.UserEvent
	changed  chan struct{} // closed at the next change
}

func newFakeStore(t *testing.T) *fakeStore {
	t.Helper()
	s := &fakeStore{index: 1, keys: map[string]*berth.KVEntry{}, sessions: map[string]string{}, changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/session/create", s.createSession)
	mux.HandleFunc("PUT /v1/session/destroy/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.endSession(r.PathValue("id"))
		fmt.Fprint(w, "true")
	})
	mux.HandleFunc("PUT /v1/session/renew/{id}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[]") })
	mux.HandleFunc("GET /v1/kv/", s.get)
	mux.HandleFunc("PUT /v1/kv/", s.put)
	mux.HandleFunc("DELETE /v1/kv/", s.remove)
	mux.HandleFunc("PUT /v1/event/fire/{name}", s.fire)
	mux.HandleFunc("GET /v1/event/list", s.list)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// bump tells waiters that something changed; the caller holds the lock.
func (s *fakeStore) bump() {
	s.index++
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait blocks until the index is not the asked one any more.
func (s *fakeStore) wait(r *http.Request) {
	asked, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	for {
		s.mu.Lock()
		changed, index := s.changed, s.index
		s.mu.Unlock()
		if asked == 0 || index != asked {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		case <-time.After(20 * time.Second):
			return
		}
	}
}

func (s *fakeStore) createSession(w http.ResponseWriter, r *http.Request) {
	var body struct{ Behavior string }
	_ = json.NewDecoder(r.Body).Decode(&body)
	s.mu.Lock()
	defer s.mu.Unlock()
	id := fmt.Sprintf("session-%d", len(s.sessions)+1)
	s.sessions[id] = body.Behavior
	fmt.Fprintf(w, `{"ID":%q}`, id)
}

// endSession frees what the session holds.
func (s *fakeStore) endSession(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, kv := range s.keys {
		if kv.Session == id {
			kv.Session = ""
			if s.sessions[id] == berth.SessionDelete {
				delete(s.keys, k)
			}
		}
	}
	s.bump()
}

func keyOf(r *http.Request) string {
	key, _ := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/v1/kv/"))
	return key
}

func (s *fakeStore) get(w http.ResponseWriter, r *http.Request) {
	s.wait(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("X-Consul-Index", fmt.Sprint(s.index))
	q := r.URL.Query()
	found := []berth.KVEntry{}
	names := []string{}
	for k, kv := range s.keys {
		if k == keyOf(r) && !q.Has("keys") || (q.Has("recurse") || q.Has("keys")) && strings.HasPrefix(k, keyOf(r)) {
			found = append(found, *kv)
			names = append(names, k)
		}
	}
	slices.SortFunc(found, func(a, b berth.KVEntry) int { return strings.Compare(a.Key, b.Key) })
	slices.Sort(names)
	switch {
	case len(found) == 0:
		w.WriteHeader(http.StatusNotFound)
	case q.Has("keys"):
		_ = json.NewEncoder(w).Encode(names)
	default:
		_ = json.NewEncoder(w).Encode(found)
	}
}

func (s *fakeStore) put(w http.ResponseWriter, r *http.Request) {
	value, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	q, key := r.URL.Query(), keyOf(r)
	old := s.keys[key]
	kv := &berth.KVEntry{Key: key, Value: value, CreateIndex: s.index + 1, ModifyIndex: s.index + 1}
	kv.Flags, _ = strconv.ParseUint(q.Get("flags"), 10, 64)
	if old != nil {
		kv.CreateIndex, kv.LockIndex, kv.Session = old.CreateIndex, old.LockIndex, old.Session
	}
	ok := true
	if q.Has("cas") {
		cas, _ := strconv.ParseUint(q.Get("cas"), 10, 64)
		ok = old == nil && cas == 0 || old != nil && old.ModifyIndex == cas
	}
	if id := q.Get("acquire"); id != "" {
		ok = kv.Session == "" || kv.Session == id
		kv.Session = id
	}
	if id := q.Get("release"); id != "" {
		ok = kv.Session == id
		kv.Session = ""
	}
	if ok {
		s.keys[key] = kv
		s.bump()
	}
	fmt.Fprint(w, ok)
}

func (s *fakeStore) remove(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, key := r.URL.Query(), keyOf(r)
	ok := true
	if q.Has("cas") {
		cas, _ := strconv.ParseUint(q.Get("cas"), 10, 64)
		ok = s.keys[key] == nil || s.keys[key].ModifyIndex == cas
	}
	for k := range s.keys {
		if ok && (k == key || q.Has("recurse") && strings.HasPrefix(k, key)) {
			delete(s.keys, k)
		}
	}
	s.bump()
	fmt.Fprint(w, ok)
}

func (s *fakeStore) fire(w http.ResponseWriter, r *http.Request) {
	payload, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	ev := berth.UserEvent{ID: fmt.Sprintf("event-%d", len(s.events)), Name: r.PathValue("name"), Payload: payload}
	s.events = append(s.events, ev)
	s.bump()
	_ = json.NewEncoder(w).Encode(ev)
}

func (s *fakeStore) list(w http.ResponseWriter, r *http.Request) {
	s.wait(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("X-Consul-Index", fmt.Sprint(s.index))
	_ = json.NewEncoder(w).Encode(append([]berth.UserEvent{}, s.events...))
}

// names lists the keys that exist.
func (s *fakeStore) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []string{}
	for k := range s.keys {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

func (s *fakeStore) run(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return berthCommand(t, []string{"BERTH_HTTP_ADDR=" + s.URL, "PATH=/usr/bin:/bin"}, stdin, args...)
}
