package check

//lint:file-ignore SA1019 a connection that is open already is what the check has, and net/http takes none

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/http2"

	"berth"
)

type h2pingRunner struct {
	addr    string
	tls     *tls.Config // nil: plain
	timeout time.Duration
}

func (r *Runners) h2pingTLS(def *berth.CheckDefinition) *tls.Config {
	if !def.H2PingUseTLS {
		return nil
	}
	c := r.tlsConfig(def)
	c.NextProtos = []string{http2.NextProtoTLS}
	return c
}

// Run opens an HTTP/2 connection and sends a PING frame, which has to be answered.
func (h *h2pingRunner) Run(ctx context.Context) Result {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	conn, err := h.dial(ctx)
	if err != nil {
		return critical("HTTP2 ping %s: %v", h.addr, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	t := &http2.Transport{AllowHTTP: true}
	cc, err := t.NewClientConn(conn)
	if err != nil {
		return critical("HTTP2 ping %s: %v", h.addr, err)
	}
	defer cc.Close()
	if err := cc.Ping(ctx); err != nil {
		return critical("HTTP2 ping %s failed: %v", h.addr, err)
	}
	return passing("HTTP2 ping was successful")
}

func (h *h2pingRunner) dial(ctx context.Context) (net.Conn, error) {
	d := &net.Dialer{KeepAlive: -1}
	if h.tls == nil {
		return d.DialContext(ctx, "tcp", h.addr)
	}
	conn, err := (&tls.Dialer{NetDialer: d, Config: h.tls}).DialContext(ctx, "tcp", h.addr)
	if err != nil {
		return nil, err
	}
	if p := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; p != http2.NextProtoTLS {
		conn.Close()
		return nil, fmt.Errorf("server does not speak HTTP/2 (ALPN chose %q)", p)
	}
	return conn, nil
}
