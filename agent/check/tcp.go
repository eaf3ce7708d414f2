package check

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"berth"
)

type tcpRunner struct {
	addr    string
	tls     *tls.Config // nil: plain
	timeout time.Duration
}

func (r *Runners) tcpTLS(def *berth.CheckDefinition) *tls.Config {
	if !def.TCPUseTLS {
		return nil
	}
	return r.tlsConfig(def)
}

// Run connects and closes; with TLS the handshake has to succeed too. Both address families
// of a name are tried.
func (t *tcpRunner) Run(ctx context.Context) Result {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	d := &net.Dialer{KeepAlive: -1}
	var conn net.Conn
	var err error
	if t.tls != nil {
		conn, err = (&tls.Dialer{NetDialer: d, Config: t.tls}).DialContext(ctx, "tcp", t.addr)
	} else {
		conn, err = d.DialContext(ctx, "tcp", t.addr)
	}
	if err != nil {
		if dial := new(net.OpError); t.tls != nil && !errors.As(err, &dial) { // those of the handshake do not say with whom
			return critical("TLS handshake with %s: %v", t.addr, err)
		}
		return critical("%v", err)
	}
	conn.Close()
	return passing("TCP connect %s: Success", t.addr)
}
