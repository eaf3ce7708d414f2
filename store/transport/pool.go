package transport

//lint:file-ignore SA1019 one connection with both raft and HTTP/2 needs the parts that net/http does not offer for a connection that is open already

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2"
)

// connsPerPeer is how many HTTP/2 connections are kept to one peer: more than one, so that
// large answers do not hold up small ones.
const connsPerPeer = 2

// NotSentError wraps an error that came before anything of the request had left this host, so
// that it may be tried elsewhere whatever it is.
type NotSentError struct{ Err error }

func (e *NotSentError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *NotSentError) Unwrap() error { return e.Err }

// NotSent tells whether err is known to have come before the request was sent.
func NotSent(err error) bool {
	var ns *NotSentError
	return errors.As(err, &ns)
}

// pool keeps the HTTP/2 connections to other agents' ports.
type pool struct {
	t  *Transport
	h2 *http2.Transport

	mu     sync.Mutex // guards peers, closed
	peers  map[string]*peer
	closed bool
}

type peer struct {
	next  atomic.Uint32
	slots [connsPerPeer]slot
}

// slot is one connection; its mutex is held while dialling, so that concurrent requests share
// the dial.
type slot struct {
	dial sync.Mutex
	cc   atomic.Pointer[clientConn]
}

// clientConn is an HTTP/2 connection with what it runs over.
type clientConn struct {
	*http2.ClientConn
	over *trackedConn
}

func newPool(t *Transport) *pool {
	p := &pool{t: t, peers: map[string]*peer{}}
	p.h2 = &http2.Transport{
		AllowHTTP: true, DisableCompression: true, ReadIdleTimeout: idlePing, PingTimeout: pingTimeout,
		StrictMaxConcurrentStreams: false, ConnPool: p,
	}
	return p
}

// GetClientConn is conn as http2 calls it: again, when a connection had been ended in order before
// the request was seen.
func (p *pool) GetClientConn(req *http.Request, addr string) (*http2.ClientConn, error) {
	cc, err := p.conn(req.Context(), addr)
	if err != nil {
		return nil, &NotSentError{err}
	}
	return cc.ClientConn, nil
}

// MarkDead does nothing: a dead connection takes no reservation.
func (p *pool) MarkDead(*http2.ClientConn) {}

// RoundTrip sends req to the port that its URL names over a pooled connection and returns the response
// when its header has come. An error for which NotSent is true left the peer untouched.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaderField: func(string, []string) { sent.Store(true) }, WroteHeaders: func() { sent.Store(true) }}
	resp, err := t.pool.h2.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err == nil || NotSent(err) {
		return resp, err
	}
	var se http2.StreamError
	if !sent.Load() || (errors.As(err, &se) && se.Code == http2.ErrCodeRefusedStream) {
		return nil, &NotSentError{err}
	}
	return nil, err
}

// Forget closes the connections to addr, failing what is in flight on them: for peers that
// gossip says are gone.
func (t *Transport) Forget(addr string) {
	p := t.pool
	p.mu.Lock()
	pr := p.peers[addr]
	delete(p.peers, addr)
	p.mu.Unlock()
	if pr != nil {
		pr.close()
	}
}

func (p *peer) close() {
	for i := range p.slots {
		if cc := p.slots[i].cc.Swap(nil); cc != nil {
			cc.Close()
		}
	}
}

// renew has later requests dial instead of using one of these connections.
func (p *pool) renew(stale []*trackedConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pr := range p.peers {
		for i := range pr.slots {
			s := &pr.slots[i]
			if cc := s.cc.Load(); cc != nil && slices.Contains(stale, cc.over) && s.cc.CompareAndSwap(cc, nil) {
				cc.SetDoNotReuse()
			}
		}
	}
}

// conn gives a connection on which a request has been reserved, dialling when needed.
func (p *pool) conn(ctx context.Context, addr string) (*clientConn, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, http.ErrServerClosed
	}
	pr := p.peers[addr]
	if pr == nil {
		pr = &peer{}
		p.peers[addr] = pr
	}
	p.mu.Unlock()
	s := &pr.slots[int(pr.next.Add(1))%connsPerPeer]
	if cc := s.cc.Load(); cc != nil && cc.ReserveNewRequest() {
		return cc, nil
	}
	s.dial.Lock()
	defer s.dial.Unlock()
	old := s.cc.Load()
	if old != nil && old.ReserveNewRequest() {
		return old, nil
	}
	conn, over, err := p.t.dial(ctx, addr, protoHTTP)
	if err != nil {
		return nil, err
	}
	h2c, err := p.h2.NewClientConn(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	cc := &clientConn{h2c, over}
	s.cc.Store(cc)
	if old != nil {
		old.SetDoNotReuse() // it closes itself when its last stream has ended
	}
	if !cc.ReserveNewRequest() {
		return nil, errors.New("new connection takes no request")
	}
	return cc, nil
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	peers := p.peers
	p.peers = map[string]*peer{}
	p.mu.Unlock()
	for _, pr := range peers {
		pr.close()
	}
}
