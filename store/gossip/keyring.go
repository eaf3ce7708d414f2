package gossip

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"berth"
)

// ErrNotEncrypted: keyring operations need a gossip key.
var ErrNotEncrypted = errors.New("gossip is not encrypted: set encrypt on every agent first")

// DecodeKey reads a base64 gossip key of 16, 24 or 32 bytes.
func DecodeKey(key string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return nil, fmt.Errorf("encrypt key is not base64 (make one with `berth keygen`): %w", err)
	}
	if err := memberlist.ValidateKey(b); err != nil {
		return nil, fmt.Errorf("encrypt key has %d bytes, it must have 16, 24 or 32: make one with `berth keygen`", len(b))
	}
	return b, nil
}

// loadKeyring reads the keyring file; without one it starts from key and writes the file. The
// file wins over key, since rotation changes it. nil means clear text.
func loadKeyring(key, file string) (*memberlist.Keyring, error) {
	var keys []string
	if file != "" {
		b, err := os.ReadFile(file)
		switch {
		case err == nil:
			if err := json.Unmarshal(b, &keys); err != nil {
				return nil, fmt.Errorf("read keyring %s: %w: remove the file to start again from the encrypt setting", file, err)
			}
		case !errors.Is(err, os.ErrNotExist):
			return nil, fmt.Errorf("read keyring: %w", err)
		}
	}
	if len(keys) == 0 {
		if key == "" {
			return nil, nil
		}
		keys = []string{key}
		if _, err := DecodeKey(key); err != nil {
			return nil, err
		}
		if file != "" {
			if err := writeKeyring(file, keys); err != nil {
				return nil, err
			}
		}
	}
	raw := make([][]byte, len(keys))
	for i, k := range keys {
		b, err := DecodeKey(k)
		if err != nil {
			return nil, err
		}
		raw[i] = b
	}
	return memberlist.NewKeyring(raw, raw[0])
}

func writeKeyring(file string, keys []string) error {
	b, err := json.MarshalIndent(keys, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("write keyring: %w", err)
	}
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("write keyring: %w", err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("write keyring: %w", err)
	}
	return nil
}

// Encrypted tells whether the pool has a key.
func (p *Pool) Encrypted() bool { return p.keyring != nil }

// Keys are this agent's keys, the primary one first; nil without encryption.
func (p *Pool) Keys() [][]byte {
	if p.keyring == nil {
		return nil
	}
	return p.keyring.GetKeys()
}

// Keyring runs one operation (list, install, use, remove) on all members of the pool.
func (p *Pool) Keyring(op, key string, relay int, localOnly bool) berth.KeyringResponse {
	out := berth.KeyringResponse{WAN: p.cfg.WAN, Datacenter: p.cfg.Datacenter, Keys: map[string]int{}, PrimaryKeys: map[string]int{}}
	s := p.serf.Load()
	switch {
	case s == nil:
		out.Error = ErrNotRunning.Error()
		return out
	case p.keyring == nil:
		out.Error = ErrNotEncrypted.Error()
		return out
	}
	if op != "list" {
		if _, err := DecodeKey(key); err != nil {
			out.Error = err.Error()
			return out
		}
	}
	if localOnly && op == "list" {
		for i, k := range p.keyring.GetKeys() {
			text := base64.StdEncoding.EncodeToString(k)
			out.Keys[text] = 1
			if i == 0 {
				out.PrimaryKeys[text] = 1
			}
		}
		out.NumNodes = 1
		return out
	}
	resp, err := keyringOp(s.KeyManager(), op, key, &serf.KeyRequestOptions{RelayFactor: uint8(min(max(relay, 0), 5))})
	if resp != nil {
		out.Messages, out.NumNodes = resp.Messages, resp.NumNodes
		if resp.Keys != nil {
			out.Keys, out.PrimaryKeys = resp.Keys, resp.PrimaryKeys
		}
	}
	if err != nil {
		out.Error = err.Error()
	}
	return out
}

func keyringOp(m *serf.KeyManager, op, key string, o *serf.KeyRequestOptions) (*serf.KeyResponse, error) {
	switch op {
	case "list":
		return m.ListKeysWithOptions(o)
	case "install":
		return m.InstallKeyWithOptions(key, o)
	case "use":
		return m.UseKeyWithOptions(key, o)
	case "remove":
		return m.RemoveKeyWithOptions(key, o)
	}
	return nil, fmt.Errorf("keyring operation %q is not known: use list, install, use or remove", op)
}
