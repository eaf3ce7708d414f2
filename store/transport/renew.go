package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

// lastWord is how long a peer has to hear that no new requests are taken before its connection
// is closed: more than a round trip.
const lastWord = 100 * time.Millisecond

// Drain takes no new connections and has peers send new requests elsewhere, then blocks until
// what it has taken is answered, at most for limit; requests that Config.Long names are not
// waited for. Close comes after it.
func (t *Transport) Drain(limit time.Duration) {
	t.mu.Lock()
	t.draining = true
	t.mu.Unlock()
	t.cfg.Listener.Close()
	t.goAway()
	until := time.Now().Add(limit)
	time.Sleep(min(lastWord, limit))
	for t.busy.Load() > 0 && time.Now().Before(until) {
		time.Sleep(5 * time.Millisecond)
	}
}

// goAway tells all peers to use a new connection for their next request; what is under way on
// the old one goes on.
func (t *Transport) goAway() {
	_ = t.farewell.Shutdown(context.Background()) // it serves nothing itself: it only tells t.h2
}

// truster is a TLS that can stop trusting a peer to which there is a connection.
type truster interface{ Trusts(*x509.Certificate) bool }

// Retire ends the connections to peers whose certificates are not trusted any more, because their
// key has left the keyring. Peers that have the new key notice nothing: new requests
// use new connections at once, those under way have until grace ends, and what blocks beyond it
// is asked again by the one who asked. It blocks for grace when there is anything to end.
func (t *Transport) Retire(ctx context.Context, grace time.Duration) {
	stale := t.stale()
	if len(stale) == 0 {
		return
	}
	t.log.Info("connections under a removed key are replaced", "connections", len(stale))
	t.goAway()
	t.pool.renew(stale)
	for _, c := range stale {
		if t.isRaft(c) { // raft dials again by itself
			c.Close()
		}
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	for _, c := range stale {
		c.Close()
	}
}

// stale are the connections with an untrusted peer.
func (t *Transport) stale() (out []*trackedConn) {
	k, ok := t.cfg.TLS.(truster)
	if !ok {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		if c.peer != nil && !k.Trusts(c.peer) {
			out = append(out, c)
		}
	}
	return out
}

func (t *Transport) isRaft(c *trackedConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return c.raft
}

// remember keeps whom a secured connection goes to.
func (t *Transport) remember(c *trackedConn, conn net.Conn) {
	tc, ok := conn.(*tls.Conn)
	if !ok {
		return
	}
	if certs := tc.ConnectionState().PeerCertificates; len(certs) > 0 {
		t.mu.Lock()
		c.peer = certs[0]
		t.mu.Unlock()
	}
}

// short counts the requests that Drain waits for.
func (t *Transport) short(r *http.Request) (done func()) {
	if t.cfg.Long != nil && t.cfg.Long(r) {
		return func() {}
	}
	t.busy.Add(1)
	return func() { t.busy.Add(-1) }
}
