package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"berth/internal/config"
)

// protoRaft is how servers name raft when a connection to the server port is made.
const protoRaft = "berth-raft"

// rpcTLS is the TLS of the server port that a tls.internal_rpc block asks for, instead of the one
// that follows from the gossip key. Its files can be read again while it serves.
type rpcTLS struct {
	isServer       bool
	domain         string // of server names
	server, client atomic.Pointer[tls.Config]
}

// newRPCTLS reads the files; nil when no file is configured.
func newRPCTLS(c *config.Config) (*rpcTLS, error) {
	if !explicit(c.TLS.RPC) {
		return nil, nil
	}
	t := &rpcTLS{isServer: c.Server.Enabled, domain: strings.ToLower(strings.Trim(c.DNS.Domain, "."))}
	return t, t.load(c.TLS.RPC)
}

func explicit(c config.TLSConfig) bool { return c.CertFile != "" || c.CAFile != "" || c.CAPath != "" }

// load reads the files again; on error the old ones go on.
func (t *rpcTLS) load(c config.TLSConfig) error {
	if !explicit(c) {
		return errors.New("tls.internal_rpc: ca_file and cert_file were taken out: that needs a restart")
	}
	base, err := readTLS("tls.internal_rpc", c)
	if err != nil {
		return err
	}
	if t.isServer && len(base.Certificates) == 0 {
		return errors.New("tls.internal_rpc: a server needs cert_file and key_file besides ca_file")
	}
	t.server.Store(t.listener(base, c))
	t.client.Store(t.dialler(base, c))
	return nil
}

// listener demands certificates as asked; raft only speaks with servers.
func (t *rpcTLS) listener(base *tls.Config, c config.TLSConfig) *tls.Config {
	s := base.Clone()
	s.ClientCAs, s.RootCAs = base.RootCAs, nil
	switch {
	case c.VerifyIncoming:
		s.ClientAuth = tls.RequireAndVerifyClientCert
	case s.ClientCAs != nil:
		s.ClientAuth = tls.VerifyClientCertIfGiven
	}
	if c.VerifyServerHostname {
		s.VerifyConnection = func(cs tls.ConnectionState) error {
			if cs.NegotiatedProtocol != protoRaft {
				return nil
			}
			return t.isServerCert(cs.PeerCertificates)
		}
	}
	return s
}

// dialler checks the chain by itself: the name is that of a role, not of a host.
func (t *rpcTLS) dialler(base *tls.Config, c config.TLSConfig) *tls.Config {
	d := base.Clone()
	d.InsecureSkipVerify = true //nolint:gosec // VerifyConnection does it
	d.VerifyConnection = func(cs tls.ConnectionState) error {
		if !c.VerifyOutgoing && !c.VerifyServerHostname {
			return nil
		}
		if len(cs.PeerCertificates) == 0 {
			return errors.New("the server shows no certificate")
		}
		opts := x509.VerifyOptions{Roots: base.RootCAs, Intermediates: x509.NewCertPool()}
		for _, i := range cs.PeerCertificates[1:] {
			opts.Intermediates.AddCert(i)
		}
		if _, err := cs.PeerCertificates[0].Verify(opts); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
		}
		if c.VerifyServerHostname {
			return t.isServerCert(cs.PeerCertificates)
		}
		return nil
	}
	return d
}

// isServerCert accepts certificates for server.<datacenter>.<domain>, of any datacenter.
func (t *rpcTLS) isServerCert(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return errors.New("the peer shows no certificate, a server's is needed")
	}
	for _, name := range chain[0].DNSNames {
		rest, ok := strings.CutPrefix(strings.ToLower(name), "server.")
		dc, found := strings.CutSuffix(rest, "."+t.domain)
		if ok && found && dc != "" && !strings.ContainsAny(dc, ".*") {
			return nil
		}
	}
	return fmt.Errorf("the peer's certificate is for %s, not for server.<datacenter>.%s (tls.internal_rpc.verify_server_hostname)",
		strings.Join(chain[0].DNSNames, ", "), t.domain)
}

// Server is the listener's configuration now; the caller may change it.
func (t *rpcTLS) Server() *tls.Config { return t.server.Load().Clone() }

// Client is the dialler's configuration now; the caller may change it.
func (t *rpcTLS) Client() *tls.Config { return t.client.Load().Clone() }

// checkTLS is what checks with TLS use when enable_agent_tls_for_checks is set: certificate and
// authorities of the same block.
func checkTLS(c *config.Config) (func() *tls.Config, error) {
	if !c.Checks.AgentTLS {
		return nil, nil
	}
	base, err := readTLS("tls.internal_rpc", c.TLS.RPC)
	if err != nil {
		return nil, fmt.Errorf("enable_agent_tls_for_checks: %w", err)
	}
	return func() *tls.Config { return base }, nil
}
