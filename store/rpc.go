package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"berth"
	"berth/store/command"
	"berth/store/transport"
)

func notSent(err error) bool { return transport.NotSent(err) }

// portHandler runs what arrives on the server port: the store's own endpoints, else h.
func (s *Store) portHandler(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /internal/store/who", s.serveWho)
	if s.node != nil {
		mux.HandleFunc("POST /internal/store/propose", s.servePropose)
		mux.HandleFunc("POST /internal/store/renew", s.serveRenew)
		mux.HandleFunc("POST /internal/store/leave", s.serveLeave)
		mux.HandleFunc("POST /internal/store/bootstrap", s.serveBootstrap)
		mux.HandleFunc("POST /internal/store/coordinate", s.serveCoordinate)
		mux.HandleFunc("POST /internal/store/keyring", s.serveKeyring)
		mux.HandleFunc("POST /internal/store/query", s.serveQuery)
		mux.HandleFunc("GET /internal/store/node", s.serveNodeState)
		mux.HandleFunc("GET /internal/store/stats", s.serveStats)
		mux.HandleFunc("GET /internal/store/datacenters", s.serveDatacenters)
		mux.HandleFunc("GET /internal/store/replica", s.serveReplica)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(context.WithValue(r.Context(), onPort{}, true))
		if h != nil && !strings.HasPrefix(r.URL.Path, "/internal/store/") {
			h.ServeHTTP(w, r) // not by the mux, which would redirect keys such as a//b or a/../b
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// onPort marks requests that came in on the server port: only those may say who forwarded
// them, so that a user's header changes nothing.
type onPort struct{}

func forwardedBy(r *http.Request) string {
	if r.Context().Value(onPort{}) == nil {
		return ""
	}
	return r.Header.Get(headerVia)
}

// refuseOrRunHere answers a request that needs the leader when this server is not it; false:
// go on here.
func (s *Store) refuseOrRunHere(w http.ResponseWriter, r *http.Request) bool {
	return !s.leads() && s.refuseOrRun(w, r, true)
}

func (s *Store) serveWho(w http.ResponseWriter, _ *http.Request) {
	who := identity{Node: s.cfg.NodeName, ID: s.id, Datacenter: s.cfg.Datacenter, LANPort: s.lan.Port()}
	if s.wan != nil {
		who.WANPort = s.wan.Port()
	}
	answerJSON(w, who)
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the caller sees a short body as an error
}

// callJSON sends one internal request with JSON in both directions.
func (s *Store) callJSON(ctx context.Context, method, addr, path string, in, out any, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set(headerVia, viaLAN)
	resp, err := s.trans.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxCommand))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("server %s answered %s: %s", addr, resp.Status, bytes.TrimSpace(b))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// wireNode is what the catalog has of a node, between agents.
type wireNode struct{ State *berth.NodeServices }

func (s *Store) serveNodeState(w http.ResponseWriter, r *http.Request) {
	if s.refuseOrRunHere(w, r) {
		return
	}
	var enc command.Encoder
	b, err := enc.Value(0, &wireNode{s.nodeStateHere(r.URL.Query().Get("name"))})
	if err != nil {
		answerError(w, err)
		return
	}
	_, _ = w.Write(b)
}

// NodeState is what the catalog has of a node, from the leader: nil Node when nothing.
func (s *Store) NodeState(ctx context.Context, node string) (*berth.NodeServices, error) {
	var out *berth.NodeServices
	err := s.route(ctx, true, func(ctx context.Context, addr string) error {
		if addr == "" {
			out = s.nodeStateHere(node)
			return nil
		}
		b, err := s.call(ctx, http.MethodGet, addr, "/internal/store/node?name="+queryEscape(node), nil)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return errors.New("empty answer")
		}
		var dec command.Decoder
		var w wireNode
		if err := dec.Value(b[1:], &w); err != nil {
			return fmt.Errorf("decode the leader's answer: %w", err)
		}
		out = w.State
		return nil
	})
	if err == nil && out == nil {
		out = &berth.NodeServices{}
	}
	return out, err
}
