package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"berth/internal/backoff"
	"berth/store/command"
)

const (
	streamSilence = 5 * heartbeatTime // a server that says nothing for so long is left
	keepReplica   = 30 * time.Second  // how often a changed replica is written to disk
)

// followReplica keeps the replica filled from one server's change stream, and goes to another
// server when that one fails, for ever.
func (s *Store) followReplica(ctx context.Context) error {
	r := s.catalog.replica
	pause := backoff.Backoff{Min: 50 * time.Millisecond, Max: 5 * time.Second}
	defer r.keep()
	avoid := ""
	for ctx.Err() == nil {
		changed := s.membersChanged.wait()
		addr := s.anyServer(avoid)
		if addr == "" {
			if waitOr(ctx, changed, pause.Next()) != nil {
				return nil
			}
			continue
		}
		progressed, err := s.followServer(ctx, addr)
		if ctx.Err() != nil {
			return nil
		}
		s.log.Info("change stream ended, following another server", "server", addr, "err", err)
		if progressed {
			pause.Reset()
		}
		s.unprefer(addr)
		if avoid = addr; waitOr(ctx, nil, pause.Next()) != nil {
			return nil
		}
	}
	return nil
}

// followServer follows one server until its stream ends.
func (s *Store) followServer(ctx context.Context, addr string) (progressed bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(streamSilence, func() { cancel(fmt.Errorf("server said nothing for %v", streamSilence)) })
	defer silence.Stop()
	r := s.catalog.replica
	url := fmt.Sprintf("http://%s/internal/store/replica?feed=%s&seq=%d&index=%d&mark=%d", addr, r.feed, r.seq, r.state().Index(), r.mark)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	req.Header.Set(headerVia, viaLAN)
	resp, err := s.trans.RoundTrip(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return false, fmt.Errorf("server answered %s: %s", resp.Status, bytes.TrimSpace(why))
	}
	f := &follower{s: s, r: r}
	in := bufio.NewReaderSize(resp.Body, 64<<10)
	var buf []byte
	for {
		var kind byte
		var payload []byte
		if kind, payload, buf, err = readFrame(in, buf); err == nil {
			silence.Reset(streamSilence)
			err = f.take(kind, payload)
		}
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return f.live, err
		}
		progressed = f.live
	}
}

// follower applies one stream to the replica.
type follower struct {
	s      *Store
	r      *replica
	dec    command.Decoder
	loader *recordLoader
	feed   string
	live   bool // the snapshot is in: what comes now are changes
	kept   time.Time
}

func (f *follower) take(kind byte, payload []byte) error {
	switch kind {
	case frameHello:
		return f.hello(payload)
	case frameRecords:
		if f.loader == nil {
			return errors.New("change stream: records without a hello")
		}
		return f.loader.add(payload)
	case frameEnd:
		return f.end(payload)
	case frameDeltas:
		return f.deltas(payload)
	case frameHeartbeat:
		return f.heartbeat(payload)
	}
	return nil // of a newer version
}

func (f *follower) hello(payload []byte) error {
	var h hello
	if err := f.dec.Value(payload, &h); err != nil {
		return err
	}
	if h.Version != streamVersion {
		return fmt.Errorf("change stream has version %d, this agent knows %d: run the same berth version on all agents", h.Version, streamVersion)
	}
	f.feed = h.Feed
	if h.Resumed {
		f.r.feed, f.r.seq, f.live = h.Feed, h.Seq, true
		f.r.resumed.Add(1)
		return nil
	}
	f.loader = f.r.newLoader()
	return nil
}

func (f *follower) end(payload []byte) error {
	var e endRecords
	if err := f.dec.Value(payload, &e); err != nil {
		return err
	}
	if f.loader == nil {
		return errors.New("change stream: end of a snapshot that has not begun")
	}
	f.r.replace(f.loader.loader.Done(e.Index))
	f.r.feed, f.r.seq, f.r.mark = f.feed, e.Seq, e.Mark
	f.loader, f.live = nil, true
	f.r.snapshots.Add(1)
	f.s.replicaReplaced()
	return nil
}

func (f *follower) deltas(payload []byte) error {
	var d deltas
	if err := f.dec.Value(payload, &d); err != nil {
		return err
	}
	if !f.live || d.Seq != f.r.seq+1 {
		return fmt.Errorf("change stream: frame %d after %d", d.Seq, f.r.seq)
	}
	if st := f.r.state(); d.Index > st.Index() {
		f.r.dirty = true
		if err := st.ApplyDeltas(d.Index, d.Deltas); err != nil {
			f.r.feed, f.r.mark = "", 0 // begin with everything next time
			return fmt.Errorf("change stream: %w", err)
		}
		f.r.mark = d.Mark
	}
	f.r.seq = d.Seq
	return nil // what is not newer, the snapshot had already
}

func (f *follower) heartbeat(payload []byte) error {
	var h heartbeat
	if err := f.dec.Value(payload, &h); err != nil {
		return err
	}
	f.r.hear(h.Lag)
	f.s.learnLeader(h.Leader)
	if time.Since(f.kept) > keepReplica {
		f.kept = time.Now()
		f.r.keep()
	}
	return nil
}

// replicaMagic starts the replica's file; the digit is its format version.
const replicaMagic = "berthrep1\n"

// keep writes the replica to its file when it has changed.
func (r *replica) keep() {
	if r.file == "" || !r.dirty || !r.synced() {
		return
	}
	r.dirty = false
	if err := writeFile(r.file, r.encode(), 0o600); err != nil {
		r.log.Warn("keep replica on disk", "err", err)
	}
}

func (r *replica) encode() []byte {
	reader := r.state().Read()
	var out bytes.Buffer
	out.WriteString(replicaMagic)
	frame := func(kind byte, v any) {
		b, err := encodeFrame(kind, v)
		if err == nil {
			out.Write(b)
		}
	}
	var batch records
	for rec := range reader.CatalogRecords() {
		if batch.Records = append(batch.Records, rec); len(batch.Records) == recordsPer {
			frame(frameRecords, &batch)
			batch.Records = batch.Records[:0]
		}
	}
	frame(frameRecords, &batch)
	frame(frameEnd, &endRecords{Index: reader.Index(), Mark: r.mark})
	return out.Bytes()
}

// load reads the file of the last run; no file is no error.
func (r *replica) load() error {
	if r.file == "" {
		return nil
	}
	b, err := os.ReadFile(r.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(b, []byte(replicaMagic)) {
		return errors.New("it is of another format version")
	}
	in := bytes.NewReader(b[len(replicaMagic):])
	l := r.newLoader()
	for {
		kind, payload, _, err := readFrame(in, nil)
		if errors.Is(err, io.EOF) {
			return errors.New("it is cut short")
		}
		if err != nil {
			return err
		}
		switch kind {
		case frameRecords:
			if err := l.add(payload); err != nil {
				return err
			}
		case frameEnd:
			var e endRecords
			if err := l.dec.Value(payload, &e); err != nil {
				return err
			}
			r.mark = e.Mark
			r.store.Store(l.loader.Done(e.Index))
			r.filled.Store(true)
			return nil
		}
	}
}
