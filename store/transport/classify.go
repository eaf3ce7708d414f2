package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"
)

const tlsRecord = 0x16 // first byte of a TLS client's hello

var errForeign = errors.New("not a connection of this port's protocols")

// classify finds out what a new connection is; it takes the first byte (plain) or the TLS
// handshake. The peer has Config.Handshake for it.
func (t *Transport) classify(c net.Conn) (proto string, conn net.Conn, err error) {
	if err := c.SetDeadline(time.Now().Add(t.cfg.Handshake)); err != nil {
		return "", nil, err
	}
	var first [1]byte
	if _, err := io.ReadFull(c, first[:]); err != nil {
		return "", nil, err
	}
	if t.cfg.TLS != nil && (first[0] == tlsRecord || !t.cfg.TakeClear) {
		proto, conn, err = t.secure(c, first[0])
	} else {
		proto, conn, err = t.plain(c, first[0])
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	return proto, conn, err
}

func (t *Transport) plain(c net.Conn, first byte) (string, net.Conn, error) {
	switch first {
	case RaftByte:
		return protoRaft, c, nil
	case 'P':
		return protoHTTP, &prefixConn{Conn: c, prefix: []byte{first}}, nil
	case tlsRecord:
		t.hints.warn(t.log, c.RemoteAddr(), "a peer speaks TLS to this agent's server port, which is plain: set the same encrypt key here")
	}
	return "", nil, errForeign
}

func (t *Transport) secure(c net.Conn, first byte) (string, net.Conn, error) {
	if first != tlsRecord {
		t.hints.warn(t.log, c.RemoteAddr(), "a peer speaks plain text to this agent's server port, which requires TLS: set the encrypt key there")
		return "", nil, errForeign
	}
	cfg := t.cfg.TLS.Server()
	cfg.NextProtos = []string{protoRaft, protoHTTP}
	tc := tls.Server(&prefixConn{Conn: c, prefix: []byte{first}}, cfg)
	if err := tc.Handshake(); err != nil {
		t.hints.server(t.log, c.RemoteAddr(), t.derived(), err)
		return "", nil, err
	}
	switch p := tc.ConnectionState().NegotiatedProtocol; p {
	case protoRaft, protoHTTP:
		return p, tc, nil
	}
	return "", nil, errForeign
}

// prefixConn gives back bytes that were read ahead.
type prefixConn struct {
	net.Conn
	prefix []byte
}

// Read gives the prefix first.
func (c *prefixConn) Read(p []byte) (int, error) {
	if len(c.prefix) > 0 {
		n := copy(p, c.prefix)
		c.prefix = c.prefix[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// hints logs what is wrong with a peer's security settings, once a minute per peer.
type hints struct {
	mu   sync.Mutex // guards last
	last map[string]time.Time
}

func (h *hints) warn(log *slog.Logger, peer net.Addr, msg string, args ...any) {
	host, _, err := net.SplitHostPort(peer.String())
	if err != nil {
		host = peer.String()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last == nil || len(h.last) > 1000 {
		h.last = map[string]time.Time{}
	}
	if time.Since(h.last[host]) < time.Minute {
		return
	}
	h.last[host] = time.Now()
	log.Warn(msg, append([]any{"peer", host}, args...)...)
}

// keyMismatch tells certificate trouble from other handshake errors.
func keyMismatch(err error) bool {
	var unknown *tls.CertificateVerificationError
	var op *net.OpError
	return errors.As(err, &unknown) || (errors.As(err, &op) && op.Op == "remote error")
}

// clockMismatch tells that a certificate was refused for its time: of two agents that make their
// own, one has a wrong clock.
func clockMismatch(err error) bool {
	var invalid x509.CertificateInvalidError
	var op *net.OpError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired ||
		errors.As(err, &op) && op.Op == "remote error" && strings.HasSuffix(op.Err.Error(), "expired certificate")
}

const clockRemedy = "the clocks of this host and of a peer differ by more than a day: set the time on both"

// derived tells whether certificates follow from the gossip key.
func (t *Transport) derived() bool {
	_, ok := t.cfg.TLS.(*KeyTLS)
	return ok
}

func (h *hints) server(log *slog.Logger, peer net.Addr, derived bool, err error) {
	if clockMismatch(err) && derived {
		h.warn(log, peer, clockRemedy, "err", err)
		return
	}
	if keyMismatch(err) && derived {
		h.warn(log, peer, "a peer's certificate was not made from this cluster's key: compare its encrypt key with this agent's", "err", err)
		return
	}
	if !derived {
		h.warn(log, peer, "a peer's TLS handshake failed: compare its tls.internal_rpc settings with this agent's", "err", err)
		return
	}
	log.Debug("tls handshake failed", "peer", peer.String(), "err", err)
}

func (h *hints) client(log *slog.Logger, addr string, derived bool, err error) error {
	if !derived {
		h.warn(log, hostAddr(addr), "no TLS connection to a server: compare the tls.internal_rpc settings", "err", err)
		return fmt.Errorf("connect to %s: tls: %w", addr, err)
	}
	if clockMismatch(err) {
		h.warn(log, hostAddr(addr), clockRemedy, "err", err)
		return fmt.Errorf("connect to %s: its clock differs from this host's by more than a day: %w", addr, err)
	}
	if keyMismatch(err) {
		h.warn(log, hostAddr(addr), "a server's certificate was not made from this agent's key: compare the encrypt keys", "err", err)
		return fmt.Errorf("connect to %s: its encrypt key differs from this agent's: %w", addr, err)
	}
	if errors.Is(err, io.EOF) {
		h.warn(log, hostAddr(addr), "a server closed the TLS handshake: it may lack the encrypt key that this agent has")
	}
	return fmt.Errorf("connect to %s: tls: %w", addr, err)
}

type hostAddr string

func (hostAddr) Network() string  { return "tcp" }
func (a hostAddr) String() string { return string(a) }
