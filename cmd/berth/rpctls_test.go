package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth"
	"berth/agent/check"
	"berth/internal/config"
	"berth/internal/testcluster"
	"berth/internal/testutil"
	"berth/store"
)

// authority makes certificates for tests.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	testutil.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	testutil.NoError(t, err)
	writePEM(t, a.ca(), "CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testutil.NoError(t, err)
	return key
}

func writePEM(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	testutil.NoError(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func (a *authority) ca() string { return filepath.Join(a.dir, "ca.pem") }

// issue makes a certificate for a DNS name and 127.0.0.1; it gives the two files.
func (a *authority) issue(t *testing.T, name string) (cert, key string) {
	t.Helper()
	k := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	testutil.NoError(t, err)
	cert, key = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	writePEM(t, cert, "CERTIFICATE", der)
	raw, err := x509.MarshalECPrivateKey(k)
	testutil.NoError(t, err)
	writePEM(t, key, "EC PRIVATE KEY", raw)
	return cert, key
}

// rpcOf is the server port's TLS of an agent whose certificate is for name; "": it has none.
func (a *authority) rpcOf(t *testing.T, server bool, name string, change func(*config.TLSConfig)) *rpcTLS {
	t.Helper()
	c := loaded(t, fmt.Sprintf("server: %v\nbootstrap: false", server))
	b := config.TLSConfig{CAFile: a.ca(), MinVersion: "TLSv1_2", VerifyIncoming: true, VerifyOutgoing: true, VerifyServerHostname: true}
	if name != "" {
		b.CertFile, b.KeyFile = a.issue(t, name)
	}
	if change != nil {
		change(&b)
	}
	c.TLS.RPC = b
	out, err := newRPCTLS(c)
	testutil.NoError(t, err)
	return out
}

// handshake connects a dialler with a listener for one protocol; it gives both ends' errors.
func handshake(t *testing.T, from, to *rpcTLS, proto string) (client, server error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testutil.NoError(t, err)
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer c.Close()
		cfg := to.Server()
		cfg.NextProtos = []string{protoRaft, "h2"}
		s := tls.Server(c, cfg)
		if err = s.Handshake(); err == nil {
			_, err = s.Write([]byte("."))
		}
		done <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	testutil.NoError(t, err)
	defer c.Close()
	testutil.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	cfg := from.Client()
	cfg.NextProtos = []string{proto}
	tc := tls.Client(c, cfg)
	client = tc.Handshake()
	if client == nil {
		_, client = tc.Read(make([]byte, 1)) // TLS 1.3 tells of a refused certificate here
	}
	c.Close()
	return client, <-done
}

func TestRPCTLS_WhoMaySpeakWithWhom(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	server := ours.rpcOf(t, true, "server.dc1.consul", nil)
	remote := ours.rpcOf(t, true, "server.dc2.consul", nil)
	client := ours.rpcOf(t, false, "client.dc1.consul", nil)
	bare := ours.rpcOf(t, false, "", nil)
	stranger := theirs.rpcOf(t, true, "server.dc1.consul", nil)
	open := ours.rpcOf(t, true, "server.dc1.consul", func(c *config.TLSConfig) { c.VerifyIncoming = false })
	for _, x := range []struct {
		name     string
		from, to *rpcTLS
		proto    string
		ok       bool
	}{
		{"server to server, raft", remote, server, protoRaft, true},
		{"client to server", client, server, "h2", true},
		{"client poses as a server, raft", client, server, protoRaft, false},
		{"a server's place is taken by a client", client, ours.rpcOf(t, true, "client.dc1.consul", nil), "h2", false},
		{"another authority's server", stranger, server, "h2", false},
		{"to another authority's server", server, stranger, "h2", false},
		{"no certificate", bare, server, "h2", false},
		{"no certificate, none is demanded", bare, open, "h2", true},
		{"no certificate, none is demanded, raft", bare, open, protoRaft, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			c, s := handshake(t, x.from, x.to, x.proto)
			if ok := c == nil && s == nil; ok != x.ok {
				t.Errorf("connected: %v, client says %v, server says %v", ok, c, s)
			}
		})
	}
}

func TestRPCTLS_Errors(t *testing.T) {
	a := newAuthority(t)
	c := loaded(t, "")
	c.TLS.RPC = config.TLSConfig{CAFile: a.ca()}
	_, err := newRPCTLS(c)
	if err == nil || !strings.Contains(err.Error(), "a server needs cert_file and key_file") {
		t.Errorf("got %v", err)
	}
	c.TLS.RPC.CAFile = "/nowhere"
	if _, err = newRPCTLS(c); err == nil || !strings.Contains(err.Error(), "tls.internal_rpc: ") || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("got %v", err)
	}
	c.TLS.RPC = config.TLSConfig{}
	none, err := newRPCTLS(c)
	testutil.NoError(t, err)
	testutil.Equal(t, none == nil, true)
}

// TestRPCTLS_Cluster: servers and clients with certificates of an authority work together, and
// go on when the certificates are replaced.
func TestRPCTLS_Cluster(t *testing.T) {
	a := newAuthority(t)
	server, client := a.rpcOf(t, true, "server.dc1.consul", nil), a.rpcOf(t, false, "client.dc1.consul", nil)
	c := testcluster.New(t, testcluster.Options{Servers: 3, Clients: 1, Disk: true, Configure: func(i int, cfg *store.Config) {
		if cfg.TLS = server; i == 3 {
			cfg.TLS = client
		}
	}})
	c.WaitLeader(15 * time.Second)
	c.WaitVoters(3, 15*time.Second)
	write := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, err := c.Nodes[3].KVApply(ctx, berth.KVOp{Verb: berth.KVSet, Entry: berth.KVEntry{Key: "a", Value: []byte("b")}})
		return err
	}
	testutil.NoError(t, write())
	for _, x := range []*rpcTLS{server, client} { // as a reload does
		name := "server.dc1.consul"
		if x == client {
			name = "client.dc1.consul"
		}
		b := config.TLSConfig{CAFile: a.ca(), MinVersion: "TLSv1_3", VerifyIncoming: true, VerifyOutgoing: true, VerifyServerHostname: true}
		b.CertFile, b.KeyFile = a.issue(t, name)
		testutil.NoError(t, x.load(b))
	}
	c.Restart(3)
	testutil.Eventually(t, 10*time.Second, 20*time.Millisecond, write)
	testutil.Equal(t, c.Nodes[0].LocalMember().Tags["use_tls"], "1")
}

// TestCheckTLS: with enable_agent_tls_for_checks a check shows the agent's certificate.
func TestCheckTLS(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.issue(t, "client.dc1.consul")
	serverTLS := a.rpcOf(t, true, "localhost", nil).Server()
	serverTLS.NextProtos = nil
	l, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS)
	testutil.NoError(t, err)
	defer l.Close()
	shown := make(chan string, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			name := ""
			tc := c.(*tls.Conn)
			if tc.Handshake() == nil && len(tc.ConnectionState().PeerCertificates) > 0 {
				name = tc.ConnectionState().PeerCertificates[0].DNSNames[0]
			}
			c.Close()
			shown <- name
		}
	}()
	for _, on := range []bool{true, false} {
		c := loaded(t, fmt.Sprintf("enable_agent_tls_for_checks: %v", on))
		c.TLS.RPC = config.TLSConfig{CAFile: a.ca(), CertFile: cert, KeyFile: key}
		own, err := checkTLS(c)
		testutil.NoError(t, err)
		runners := check.NewRunners(check.Config{Logger: testutil.Logger(t), TLS: own})
		r, err := runners.New(&berth.CheckDefinition{ID: "c", CheckTarget: berth.CheckTarget{
			TCP: l.Addr().String(), TCPUseTLS: true, Interval: berth.Duration(time.Second),
		}})
		testutil.NoError(t, err)
		got := r.Run(context.Background())
		want := map[bool]string{true: "passing client.dc1.consul", false: "critical "}[on]
		testutil.Equal(t, got.Status+" "+<-shown, want)
		runners.Close()
	}
}
