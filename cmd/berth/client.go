package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clientFlags are the flags of every command that talks to an agent.
type clientFlags struct {
	addr, token, tokenFile    string
	caFile, caPath, cert, key string
	tlsServerName             string
	datacenter                string
	stale                     bool
}

var clientFlagNames = []string{
	"http-addr", "token", "token-file", "ca-file", "ca-path", "client-cert", "client-key", "tls-server-name",
	"datacenter", "stale",
}

func (c *clientFlags) define(fs *flag.FlagSet) {
	fs.StringVar(&c.addr, "http-addr", "", "agent to ask: host:port, http(s)://host:port or unix:///path; BERTH_HTTP_ADDR, then CONSUL_HTTP_ADDR, then 127.0.0.1:8500")
	fs.StringVar(&c.token, "token", "", "ACL token; BERTH_HTTP_TOKEN, then CONSUL_HTTP_TOKEN")
	fs.StringVar(&c.tokenFile, "token-file", "", "file with the ACL token; BERTH_HTTP_TOKEN_FILE, then CONSUL_HTTP_TOKEN_FILE")
	fs.StringVar(&c.caFile, "ca-file", "", "PEM file with authorities to trust; BERTH_CACERT, then CONSUL_CACERT")
	fs.StringVar(&c.caPath, "ca-path", "", "folder with such files; BERTH_CAPATH, then CONSUL_CAPATH")
	fs.StringVar(&c.cert, "client-cert", "", "PEM file with the client certificate; BERTH_CLIENT_CERT, then CONSUL_CLIENT_CERT")
	fs.StringVar(&c.key, "client-key", "", "PEM file with its key; BERTH_CLIENT_KEY, then CONSUL_CLIENT_KEY")
	fs.StringVar(&c.tlsServerName, "tls-server-name", "", "name to expect in the agent's certificate; BERTH_TLS_SERVER_NAME, then CONSUL_TLS_SERVER_NAME")
}

// client asks one agent over HTTP.
type client struct {
	http    *http.Client
	base    string // scheme://host
	token   string
	auth    string // user:password
	query   url.Values
	address string // for messages
}

// defaultHTTPAddr is where an agent answers unless told otherwise.
const defaultHTTPAddr = "127.0.0.1:8500"

// both names a variable in berth's and in Consul's spelling.
func both(name string) []string { return []string{"BERTH_" + name, "CONSUL_" + name} }

// client builds the client from flags, then environment, then defaults.
func (e *env) client(f *clientFlags) (*client, error) {
	pick := func(flagged, name string) string {
		if flagged != "" {
			return flagged
		}
		return e.get(both(name)...)
	}
	addr := strings.TrimSpace(pick(f.addr, "HTTP_ADDR"))
	if addr == "" {
		addr = defaultHTTPAddr
	}
	c := &client{address: shown(addr), auth: e.get(both("HTTP_AUTH")...), query: url.Values{}}
	if f.datacenter != "" {
		c.query.Set("dc", f.datacenter)
	}
	if f.stale {
		c.query.Set("stale", "")
	}
	var err error
	if c.token, err = readToken(pick(f.token, "HTTP_TOKEN"), pick(f.tokenFile, "HTTP_TOKEN_FILE")); err != nil {
		return nil, err
	}
	secure, err := boolVar(e, "HTTP_SSL", false)
	if err != nil {
		return nil, err
	}
	scheme, host := "http", addr
	if s, rest, ok := strings.Cut(addr, "://"); ok {
		scheme, host = strings.ToLower(s), rest
	}
	if secure && scheme == "http" { // who asks for TLS shall not have a token go out in the clear
		scheme = "https"
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
	}
	switch scheme {
	case "http":
	case "https":
		verify, err := boolVar(e, "HTTP_SSL_VERIFY", true)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig, err = clientTLS{
			caFile: pick(f.caFile, "CACERT"), caPath: pick(f.caPath, "CAPATH"),
			cert: pick(f.cert, "CLIENT_CERT"), key: pick(f.key, "CLIENT_KEY"),
			serverName: pick(f.tlsServerName, "TLS_SERVER_NAME"), verify: verify,
		}.config()
		if err != nil {
			return nil, err
		}
	case "unix":
		path := host
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
		scheme, host = "http", "localhost"
	default:
		return nil, fmt.Errorf("http-addr %q: use host:port, http://, https:// or unix://", c.address)
	}
	c.base = scheme + "://" + strings.TrimRight(host, "/")
	c.http = &http.Client{Transport: transport}
	return c, nil
}

// shown is an address as messages have it: without the password that it may hold.
func shown(addr string) string {
	at := strings.LastIndex(addr, "@")
	if at < 0 {
		return addr
	}
	start := 0
	if i := strings.Index(addr, "://"); i >= 0 && i < at {
		start = i + len("://")
	}
	user, _, _ := strings.Cut(addr[start:at], ":")
	return addr[:start] + user + addr[at:]
}

func readToken(token, file string) (string, error) {
	if token != "" || file == "" {
		return token, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func boolVar(e *env, name string, def bool) (bool, error) {
	s := e.get(both(name)...)
	if s == "" {
		return def, nil
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, fmt.Errorf("environment variable BERTH_%s or CONSUL_%s: %q is not true or false", name, name, s)
	}
	return b, nil
}

// statusError is an answer other than 2xx.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("Unexpected response code: %d", e.code)
	}
	return fmt.Sprintf("Unexpected response code: %d (%s)", e.code, e.text)
}

// hasStatus says whether err is an answer with that HTTP status.
func hasStatus(err error, code int) bool {
	var s *statusError
	return errors.As(err, &s) && s.code == code
}

// shortTimeout bounds requests that do not block or stream.
const shortTimeout = 60 * time.Second

// open sends a request and returns the answer when its status is 2xx; the caller closes the
// body. Query values are added to those of the flags.
func (c *client) open(ctx context.Context, method, path string, q url.Values, body io.Reader) (*http.Response, error) {
	values := url.Values{}
	for _, m := range []url.Values{c.query, q} {
		for k, v := range m {
			values[k] = v
		}
	}
	target := c.base + path
	if len(values) > 0 {
		target += "?" + values.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("http-addr %q: %w", c.address, inner(err))
	}
	if c.token != "" {
		req.Header.Set("X-Consul-Token", c.token)
	}
	if c.auth != "" {
		user, password, _ := strings.Cut(c.auth, ":")
		req.SetBasicAuth(user, password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		err = inner(err)
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("no agent answers at %s: %w; start one with `berth agent`, or name another by -http-addr or BERTH_HTTP_ADDR", c.address, err)
		}
		return nil, fmt.Errorf("agent at %s: %w", c.address, err)
	}
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		resp.Body.Close()
		return resp, &statusError{resp.StatusCode, strings.TrimSpace(string(text))}
	}
	return resp, nil
}

// inner is err without the URL that it is about, which may hold a password.
func inner(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

// call sends body (JSON unless it is []byte, nil for none) and reads JSON into out, which may
// be nil.
func (c *client) call(ctx context.Context, method, path string, q url.Values, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		r = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return err
		}
		r = bytes.NewReader(text)
	}
	resp, err := c.open(ctx, method, path, q, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("agent at %s: answer to %s is not what was expected: %w", c.address, path, err)
	}
	return nil
}

func (c *client) get(ctx context.Context, path string, q url.Values, out any) error {
	return c.call(ctx, http.MethodGet, path, q, nil, out)
}

func (c *client) put(ctx context.Context, path string, q url.Values, body, out any) error {
	return c.call(ctx, http.MethodPut, path, q, body, out)
}

// segment escapes one element of a path; slashes stay when it is a key.
func segment(s string) string { return url.PathEscape(s) }

func keyPath(key string) string {
	return "/v1/kv/" + (&url.URL{Path: key}).EscapedPath()
}

// query builds values from pairs, leaving out empty ones.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Add(pairs[i], pairs[i+1])
		}
	}
	return q
}
