package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// api is the part of berth's HTTP API that the controller uses. Consul's is the same.
type api struct {
	base  string // http://host:port
	token string
	http  *http.Client
}

// blockFor is how long one blocking query may wait.
const blockFor = 30 * time.Second

func newAPI(addr, token string) *api {
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	return &api{base: strings.TrimRight(addr, "/"), token: token, http: &http.Client{Timeout: blockFor + 10*time.Second}}
}

// errNotFound is a key that does not exist.
var errNotFound = errors.New("not found")

// do sends a request and decodes the answer; it gives the index of the answer.
func (a *api) do(ctx context.Context, method, path string, body, into any) (uint64, error) {
	var payload io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		payload = bytes.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return 0, fmt.Errorf("%s %s: %w", method, path, err)
		}
		payload = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, payload)
	if err != nil {
		return 0, err
	}
	if a.token != "" {
		req.Header.Set("X-Consul-Token", a.token)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", method, path, err)
	}
	index, _ := strconv.ParseUint(resp.Header.Get("X-Consul-Index"), 10, 64)
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return index, errNotFound
	case resp.StatusCode != http.StatusOK:
		return 0, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(raw))
	case into == nil:
		return index, nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return 0, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return index, nil
}

func blocking(index uint64) string {
	return fmt.Sprintf("index=%d&wait=%s", index, blockFor)
}

// instance is one database as the catalog knows it.
type instance struct {
	ID      string
	Address string
	Port    int
	Passing bool
}

// instances waits until something about the service changed since index, and gives all its
// instances, sorted by ID.
func (a *api) instances(ctx context.Context, service string, index uint64) ([]instance, uint64, error) {
	var entries []struct {
		Node    struct{ Address string }
		Service struct {
			ID, Address string
			Port        int
		}
		Checks []struct{ Status string }
	}
	next, err := a.do(ctx, http.MethodGet, "/v1/health/service/"+url.PathEscape(service)+"?"+blocking(index), nil, &entries)
	if err != nil {
		return nil, 0, err
	}
	list := []instance{}
	for _, e := range entries {
		in := instance{ID: e.Service.ID, Address: e.Service.Address, Port: e.Service.Port, Passing: true}
		if in.Address == "" {
			in.Address = e.Node.Address
		}
		for _, c := range e.Checks {
			in.Passing = in.Passing && c.Status == "passing"
		}
		list = append(list, in)
	}
	slices.SortFunc(list, func(x, y instance) int { return strings.Compare(x.ID, y.ID) })
	return list, next, nil
}

// keys waits until something below prefix changed since index, and gives what is there, by the
// rest of the key.
func (a *api) keys(ctx context.Context, prefix string, index uint64) (map[string]string, uint64, error) {
	var entries []struct {
		Key   string
		Value []byte
	}
	next, err := a.do(ctx, http.MethodGet, "/v1/kv/"+prefix+"?recurse&"+blocking(index), nil, &entries)
	if err != nil && !errors.Is(err, errNotFound) {
		return nil, 0, err
	}
	values := map[string]string{}
	for _, e := range entries {
		values[strings.TrimPrefix(e.Key, prefix)] = strings.TrimSpace(string(e.Value))
	}
	return values, next, nil
}

func (a *api) createSession(ctx context.Context, name string, ttl time.Duration) (string, error) {
	var created struct{ ID string }
	body := map[string]string{"Name": name, "TTL": ttl.String(), "LockDelay": "1s", "Behavior": "release"}
	_, err := a.do(ctx, http.MethodPut, "/v1/session/create", body, &created)
	return created.ID, err
}

func (a *api) renewSession(ctx context.Context, id string) error {
	_, err := a.do(ctx, http.MethodPut, "/v1/session/renew/"+id, nil, nil)
	return err
}

func (a *api) destroySession(ctx context.Context, id string) error {
	_, err := a.do(ctx, http.MethodPut, "/v1/session/destroy/"+id, nil, nil)
	return err
}

// acquire says whether the session holds the key's lock now.
func (a *api) acquire(ctx context.Context, key, session, value string) (bool, error) {
	var held bool
	_, err := a.do(ctx, http.MethodPut, "/v1/kv/"+key+"?acquire="+session, []byte(value), &held)
	return held, err
}

// op is one operation of a transaction, as the API takes it.
type op map[string]any

func kvOp(verb, key string, value, session string) op {
	return op{"KV": map[string]any{"Verb": verb, "Key": key, "Value": []byte(value), "Session": session}}
}

// txn applies all operations or none.
func (a *api) txn(ctx context.Context, ops ...op) error {
	_, err := a.do(ctx, http.MethodPut, "/v1/txn", ops, nil)
	return err
}
