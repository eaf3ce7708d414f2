package store

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"berth"
	"berth/store/command"
	"berth/store/fsm"
)

// Members of a snapshot archive, as Consul names them.
const (
	snapMeta  = "meta.json"
	snapState = "state.bin"
	snapSums  = "SHA256SUMS"
)

const restoreTimeout = time.Minute

func decodeBody(w http.ResponseWriter, r *http.Request, v any) error {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCommand))
	if err != nil {
		return err
	}
	if len(b) == 0 {
		return errors.New("empty body")
	}
	var dec command.Decoder
	return dec.Value(b[1:], v)
}

// SnapshotSave writes an archive of the whole state: a gzipped tar with meta.json, state.bin
// and SHA256SUMS. It is of this server's state.
func (s *Store) SnapshotSave(_ context.Context, w io.Writer) error {
	if s.node == nil {
		return berth.ErrNotLeader
	}
	// The state goes through a file, since tar wants its length first.
	f, err := os.CreateTemp("", "berth-snapshot")
	if err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	sum := sha256.New()
	buf := bufio.NewWriter(io.MultiWriter(f, sum))
	reader := s.state().Read()
	err = fsm.Write(buf, reader)
	if err == nil {
		err = buf.Flush()
	}
	if err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	meta, err := json.Marshal(s.node.snapshotMeta(reader.Index(), size))
	if err != nil {
		return err
	}
	msum := sha256.Sum256(meta)
	sums := hex.EncodeToString(msum[:]) + "  " + snapMeta + "\n" + hex.EncodeToString(sum.Sum(nil)) + "  " + snapState + "\n"
	return writeArchive(w, []archived{
		{snapMeta, bytes.NewReader(meta), int64(len(meta))}, {snapState, f, size}, {snapSums, strings.NewReader(sums), int64(len(sums))},
	})
}

// snapshotMeta describes a snapshot of the present term; its ID is made as raft makes those of its own.
func (n *raftNode) snapshotMeta(index uint64, size int64) raft.SnapshotMeta {
	term := uint64(1) // before raft runs
	if r := n.raft.Load(); r != nil {
		term = r.CurrentTerm()
	}
	id := fmt.Sprintf("%d-%d-%d", term, index, time.Now().UnixMilli())
	return raft.SnapshotMeta{Version: raft.SnapshotVersionMax, ID: id, Index: index, Term: term, Size: size}
}

type archived struct {
	name string
	r    io.Reader
	size int64
}

func writeArchive(w io.Writer, files []archived) error {
	gz := gzip.NewWriter(w)
	tw := tar.NewWriter(gz)
	for _, a := range files {
		if err := tw.WriteHeader(&tar.Header{Name: a.name, Mode: 0o600, Size: a.size, ModTime: time.Now()}); err != nil {
			return fmt.Errorf("write snapshot: %w", err)
		}
		if _, err := io.Copy(tw, a.r); err != nil {
			return fmt.Errorf("write snapshot: %w", err)
		}
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return gz.Close()
}

// SnapshotRestore replaces the whole state by an archive's, on all servers. It runs on the
// leader; the archive is checked in full before anything is changed.
func (s *Store) SnapshotRestore(_ context.Context, r io.Reader) error {
	if !s.leads() {
		return berth.ErrNotLeader
	}
	f, err := os.CreateTemp("", "berth-restore")
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	meta, err := readArchive(r, f)
	if disk := new(fs.PathError); errors.As(err, &disk) {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	if err != nil {
		return berth.Invalid("failed to read snapshot file: " + err.Error())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	if _, err := fsm.Read(f, nil); err != nil {
		return berth.Invalid("failed to read snapshot file: " + err.Error())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	rf := s.node.raft.Load()
	if err := rf.Restore(&meta, f, restoreTimeout); err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	if err := s.node.wait(rf.Barrier(restoreTimeout)); err != nil {
		return fmt.Errorf("restore snapshot: wait until it is applied: %w", err)
	}
	s.log.Info("state restored from a snapshot by an operator", "index", meta.Index)
	s.memberEvents.put(s.lan.Members()...) // the restored catalog knows other nodes
	return nil
}

// readArchive unpacks an archive, the state into f, and checks its sums.
func readArchive(r io.Reader, f io.Writer) (meta raft.SnapshotMeta, err error) {
	gz, err := gzip.NewReader(r)
	if err != nil {
		return meta, err
	}
	got := map[string]string{}
	var sums []byte
	tr := tar.NewReader(gz)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return meta, err
		}
		sum := sha256.New()
		switch h.Name {
		case snapMeta:
			b, rerr := io.ReadAll(io.LimitReader(io.TeeReader(tr, sum), 1<<20))
			if err = rerr; err == nil {
				err = json.Unmarshal(b, &meta)
			}
		case snapState:
			_, err = io.Copy(io.MultiWriter(f, sum), tr)
		case snapSums:
			sums, err = io.ReadAll(io.LimitReader(tr, 1<<20))
		default:
			err = fmt.Errorf("unexpected file %q", h.Name)
		}
		if err != nil {
			return meta, err
		}
		got[h.Name] = hex.EncodeToString(sum.Sum(nil))
	}
	want := map[string]string{}
	for line := range strings.Lines(string(sums)) {
		if sum, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			want[strings.TrimLeft(name, " *")] = sum
		}
	}
	for _, name := range []string{snapMeta, snapState} {
		if want[name] == "" || want[name] != got[name] {
			return meta, fmt.Errorf("hash check failed for %q", name)
		}
	}
	return meta, nil
}
