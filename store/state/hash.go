package state

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"iter"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// Hash is equal for snapshots with equal rows and indexes in all tables. Servers have equal
// hashes at equal raft indexes.
func (r *Reader) Hash() string { return hashRecords(r.Records()) }

// CatalogHash is Hash over the rows of nodes, services and checks, without the indexes that
// are kept beside them: a replica has the hash of its server.
func (r *Reader) CatalogHash() string {
	return hashRecords(func(yield func(Record) bool) { r.catalogRecords(yield) })
}

func hashRecords(records iter.Seq[Record]) string {
	h := sha256.New()
	handle := &codec.MsgpackHandle{WriteExt: true}
	handle.Canonical = true
	enc := codec.NewEncoder(hashWriter{h}, handle)
	for rec := range records {
		must(enc.Encode(rec))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// hashWriter hides that a hash is more than a writer from the encoder.
type hashWriter struct{ h hash.Hash }

func (w hashWriter) Write(p []byte) (int, error) { return w.h.Write(p) }
