package transport

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"
)

const (
	caInfo     = "berth cluster CA v1" // HKDF context: changing it changes every cluster's CA
	serverName = "agent.berth.internal"
	leafLife   = 72 * time.Hour
	leafRenew  = leafLife / 2
	clockSkew  = 24 * time.Hour // by which clocks of two agents may differ
)

// KeyTLS makes mutual TLS out of the gossip keyring: each key gives, by HKDF, the key of a
// certificate authority that all agents with the key derive alike; each agent signs itself a
// short-lived certificate with the primary key's authority and trusts those of all keys, so
// that rotating the keyring rotates the authority without a break.
type KeyTLS struct {
	keys func() [][]byte // primary first

	mu     sync.Mutex // guards the rest
	bundle *bundle
	looked [][]byte // the keys at the last call of Shrunk
}

// bundle is what one state of the keyring gives; it is not changed.
type bundle struct {
	keys  [][]byte
	cert  tls.Certificate
	roots *x509.CertPool
	made  time.Time
}

// NewKeyTLS checks that certificates can be made. keys is asked at each connection.
func NewKeyTLS(keys func() [][]byte) (*KeyTLS, error) {
	k := &KeyTLS{keys: keys}
	if _, err := k.current(); err != nil {
		return nil, err
	}
	return k, nil
}

// Server is the listener's configuration now.
func (k *KeyTLS) Server() *tls.Config {
	b, err := k.current()
	if err != nil {
		return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, err }}
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{b.cert}, SessionTicketsDisabled: true,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: b.roots,
	}
}

// Client is the dialler's configuration now.
func (k *KeyTLS) Client() *tls.Config {
	b, err := k.current()
	if err != nil {
		return &tls.Config{RootCAs: x509.NewCertPool(), ServerName: serverName} // trusts nobody
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{b.cert}, RootCAs: b.roots, ServerName: serverName}
}

// Shrunk tells whether a key has left the keyring since the last call.
func (k *KeyTLS) Shrunk() bool {
	keys := k.keys()
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.looked
	k.looked = nil
	for _, key := range keys {
		k.looked = append(k.looked, bytes.Clone(key))
	}
	return slices.ContainsFunc(before, func(old []byte) bool {
		return !slices.ContainsFunc(keys, func(key []byte) bool { return bytes.Equal(key, old) })
	})
}

// Trusts tells whether a peer's certificate was made with a key that is still in the keyring.
func (k *KeyTLS) Trusts(peer *x509.Certificate) bool {
	b, err := k.current()
	if err != nil {
		return false
	}
	_, err = peer.Verify(x509.VerifyOptions{Roots: b.roots, CurrentTime: peer.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

func (k *KeyTLS) current() (*bundle, error) {
	keys := k.keys()
	k.mu.Lock()
	defer k.mu.Unlock()
	if b := k.bundle; b != nil && b.fresh(time.Now()) && sameKeys(b.keys, keys) {
		return b, nil
	}
	b, err := newBundle(keys)
	if err != nil {
		return nil, err
	}
	k.bundle = b
	return b, nil
}

// fresh tells whether the certificate needs no renewal. The wall clock counts, since that is what
// peers compare: an agent that started with a wrong clock makes a new one when it is put right.
func (b *bundle) fresh(now time.Time) bool {
	age := now.Round(0).Sub(b.made.Round(0))
	return age > -clockSkew/2 && age < leafRenew
}

func sameKeys(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func newBundle(keys [][]byte) (*bundle, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("derive certificates: the keyring is empty")
	}
	b := &bundle{roots: x509.NewCertPool(), made: time.Now()}
	for i, key := range keys {
		b.keys = append(b.keys, bytes.Clone(key))
		ca, caKey, err := authority(key)
		if err != nil {
			return nil, fmt.Errorf("derive cluster CA: %w", err)
		}
		b.roots.AddCert(ca)
		if i == 0 {
			if b.cert, err = leaf(ca, caKey); err != nil {
				return nil, fmt.Errorf("make this agent's certificate: %w", err)
			}
		}
	}
	return b, nil
}

// authority derives a key's CA; the result is the same on every agent.
func authority(key []byte) (*x509.Certificate, ed25519.PrivateKey, error) {
	seed, err := hkdf.Key(sha256.New, key, nil, caInfo, ed25519.SeedSize)
	if err != nil {
		return nil, nil, err
	}
	priv := ed25519.NewKeyFromSeed(seed)
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "berth cluster"}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, priv.Public(), priv)
	if err != nil {
		return nil, nil, err
	}
	ca, err := x509.ParseCertificate(der)
	return ca, priv, err
}

// leaf signs a new certificate for this agent.
func leaf(ca *x509.Certificate, caKey ed25519.PrivateKey) (tls.Certificate, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "berth agent"}, DNSNames: []string{serverName},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(leafLife + clockSkew), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca, pub, caKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv}, nil
}
