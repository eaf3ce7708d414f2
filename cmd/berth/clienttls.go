package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
)

// clientTLS is how the client commands do TLS.
type clientTLS struct {
	caFile, caPath, cert, key, serverName string
	verify                                bool
}

func (t clientTLS) config() (*tls.Config, error) {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: t.serverName,
		InsecureSkipVerify: !t.verify, //nolint:gosec // only when the user says so
	}
	files := []string{}
	if t.caFile != "" {
		files = append(files, t.caFile)
	}
	if t.caPath != "" {
		entries, err := os.ReadDir(t.caPath)
		if err != nil {
			return nil, fmt.Errorf("ca-path: %w", err)
		}
		for _, e := range entries {
			if !e.IsDir() {
				files = append(files, filepath.Join(t.caPath, e.Name()))
			}
		}
	}
	if len(files) > 0 {
		c.RootCAs = x509.NewCertPool()
	}
	for _, f := range files {
		pem, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("certificate authorities: %w", err)
		}
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificate authorities: %s holds no PEM certificate", f)
		}
	}
	if (t.cert == "") != (t.key == "") {
		return nil, fmt.Errorf("client-cert and client-key go together")
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
