package store

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"berth"
)

// keyringRequest is a keyring operation between servers.
type keyringRequest struct {
	Op, Key   string
	Relay     int
	LocalOnly bool
}

// keyringFile is where a pool keeps its keys, "" when it does not.
func (s *Store) keyringFile(name string) string {
	if s.cfg.Gossip.NoKeyringFile {
		return ""
	}
	return s.dir.join("serf", name)
}

// Keyring runs list, install, use or remove on the LAN pools of all datacenters and on the WAN
// pool; localOnly lists this agent's keys without asking others. Errors of a pool stand in its
// response.
func (s *Store) Keyring(ctx context.Context, op, key string, relay int, localOnly bool) ([]berth.KeyringResponse, error) {
	req := keyringRequest{op, key, relay, localOnly}
	if localOnly && op != "list" {
		return nil, berth.Invalid("local-only can only be used with keyring list")
	}
	out := s.keyringHere(req)
	if localOnly || s.wan == nil {
		return out, nil
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, dc := range s.Datacenters()[1:] {
		wg.Go(func() {
			var resp berth.KeyringResponse
			err := s.tryDatacenter(dc, func(addr string) error {
				return s.callJSON(ctx, http.MethodPost, addr, "/internal/store/keyring", req, &resp, time.Minute)
			})
			if err != nil {
				resp = berth.KeyringResponse{Datacenter: dc, Error: err.Error()}
			}
			mu.Lock()
			out = append(out, resp)
			mu.Unlock()
		})
	}
	wg.Wait()
	return out, nil
}

// keyringHere runs the operation on the pools that this agent is in.
func (s *Store) keyringHere(q keyringRequest) []berth.KeyringResponse {
	var out []berth.KeyringResponse
	if s.wan != nil {
		out = append(out, s.wan.Keyring(q.Op, q.Key, q.Relay, q.LocalOnly))
	}
	return append(out, s.lan.Keyring(q.Op, q.Key, q.Relay, q.LocalOnly))
}

// serveKeyring runs an operation of a server of another datacenter on this one's LAN pool.
func (s *Store) serveKeyring(w http.ResponseWriter, r *http.Request) {
	var q keyringRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&q); err != nil {
		http.Error(w, "keyring request cannot be read", http.StatusBadRequest)
		return
	}
	answerJSON(w, s.lan.Keyring(q.Op, q.Key, q.Relay, false))
}
