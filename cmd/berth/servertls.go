package main

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"

	"berth/internal/config"
)

// serverTLS is the TLS of a listener whose certificate can be read again while it serves.
type serverTLS struct {
	current atomic.Pointer[tls.Config]
}

// newServerTLS reads the files; nil when no certificate is configured.
func newServerTLS(c config.TLSConfig) (*serverTLS, error) {
	if c.CertFile == "" {
		return nil, nil
	}
	s := &serverTLS{}
	return s, s.load(c)
}

// load reads the files again; on error the old ones go on.
func (s *serverTLS) load(c config.TLSConfig) error {
	t, err := readTLS("tls.https", c)
	if err != nil {
		return err
	}
	t.ClientCAs, t.RootCAs = t.RootCAs, nil
	if c.VerifyIncoming {
		if t.ClientCAs == nil {
			return fmt.Errorf("tls.https: verify_incoming needs ca_file or ca_path")
		}
		t.ClientAuth = tls.RequireAndVerifyClientCert
	}
	t.NextProtos = []string{"h2", "http/1.1"}
	s.current.Store(t)
	return nil
}

// readTLS reads the files of a block of the configuration: certificate, authorities (RootCAs),
// and what versions and suites are allowed.
func readTLS(block string, c config.TLSConfig) (*tls.Config, error) {
	files := clientTLS{caFile: c.CAFile, caPath: c.CAPath, cert: c.CertFile, key: c.KeyFile, verify: true}
	t, err := files.config()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", block, err)
	}
	if c.MinVersion == "TLSv1_3" {
		t.MinVersion = tls.VersionTLS13
	}
	for _, name := range c.CipherSuites {
		id, ok := cipherSuite(name)
		if !ok {
			return nil, fmt.Errorf("%s: cipher suite %q is not known", block, name)
		}
		t.CipherSuites = append(t.CipherSuites, id)
	}
	return t, nil
}

func cipherSuite(name string) (uint16, bool) {
	for _, c := range tls.CipherSuites() {
		if c.Name == name {
			return c.ID, true
		}
	}
	return 0, false
}

// config hands out the newest files to each connection.
func (s *serverTLS) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current.Load(), nil },
	}
}
