package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"berth"
	"berth/store/command"
)

// propose encodes a command and has the leader, wherever it is, put it into the log; it
// returns what applying it gave. The command has been applied when it returns, on the leader.
// It is tried again only while nothing can have been written.
func (s *Store) propose(ctx context.Context, c command.Command) (command.Result, error) {
	data, err := command.Encode(c)
	if err != nil {
		return command.Result{}, err
	}
	var res command.Result
	err = s.route(ctx, true, func(ctx context.Context, addr string) error {
		var err error
		if addr == "" {
			res, err = s.proposeHere(ctx, data)
			return err
		}
		res, err = s.proposeAt(ctx, addr, data)
		return err
	})
	if err == nil {
		err = res.Err
	}
	return res, err
}

// proposeHere puts a command into the log of this server, which leads; errRetry when it turned
// out not to.
func (s *Store) proposeHere(ctx context.Context, data []byte) (command.Result, error) {
	res, err := s.batch.propose(ctx, data)
	if errors.Is(err, berth.ErrNotLeader) {
		return res, errRetry
	}
	return res, err
}

// wireResult is a command.Result between agents.
type wireResult struct {
	Index uint64
	Err   *wireError   `codec:",omitempty"`
	Errs  []*wireError `codec:",omitempty"`
	OK    bool
	Txn   *berth.TxnResponse `codec:",omitempty"`
}

// wireError keeps of an error what callers look at: its text, its HTTP status, and which of
// the shared errors it is.
type wireError struct {
	Text   string
	Status int
}

func toWire(err error) *wireError {
	if err == nil {
		return nil
	}
	w := &wireError{Text: err.Error()}
	var inv *berth.InvalidError
	if errors.As(err, &inv) {
		w.Status = inv.Status
		if w.Status == 0 {
			w.Status = http.StatusBadRequest
		}
	}
	return w
}

// sharedErrors keep their identity across the wire.
var sharedErrors = []error{berth.ErrSessionNotFound, berth.ErrPermissionDenied, berth.ErrUnknownService, berth.ErrUnknownCheck, berth.ErrNoLeader}

func fromWire(w *wireError) error {
	if w == nil {
		return nil
	}
	if w.Status != 0 {
		return &berth.InvalidError{Status: w.Status, Text: w.Text}
	}
	for _, e := range sharedErrors {
		if w.Text == e.Error() {
			return e
		}
	}
	return errors.New(w.Text)
}

func encodeResult(r command.Result) ([]byte, error) {
	w := wireResult{Index: r.Index, Err: toWire(r.Err), OK: r.OK}
	for _, e := range r.Errs {
		w.Errs = append(w.Errs, toWire(e))
	}
	if len(r.Txn.Results)+len(r.Txn.Errors) > 0 {
		w.Txn = &r.Txn
	}
	var enc command.Encoder
	return enc.Value(0, &w)
}

func decodeResult(b []byte) (command.Result, error) {
	var w wireResult
	var dec command.Decoder
	if len(b) == 0 {
		return command.Result{}, errors.New("empty answer")
	}
	if err := dec.Value(b[1:], &w); err != nil {
		return command.Result{}, fmt.Errorf("decode the leader's answer: %w", err)
	}
	r := command.Result{Index: w.Index, Err: fromWire(w.Err), OK: w.OK}
	for _, e := range w.Errs {
		r.Errs = append(r.Errs, fromWire(e))
	}
	if w.Txn != nil {
		r.Txn = *w.Txn
	}
	return r, nil
}

// proposeAt sends a command to the server at addr.
func (s *Store) proposeAt(ctx context.Context, addr string, data []byte) (command.Result, error) {
	b, err := s.call(ctx, http.MethodPost, addr, "/internal/store/propose", data)
	if err != nil {
		return command.Result{}, err
	}
	return decodeResult(b)
}

// servePropose is the other end of proposeAt.
func (s *Store) servePropose(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCommand))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := checkCommand(data); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if s.refuseOrRunHere(w, r) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	res, err := s.proposeHere(ctx, data)
	if errors.Is(err, errRetry) {
		s.answerNotLeader(w)
		return
	}
	if err != nil {
		answerError(w, err)
		return
	}
	b, err := encodeResult(res)
	if err != nil {
		answerError(w, err)
		return
	}
	_, _ = w.Write(b) // the caller sees a short body as an error
}

// checkCommand keeps what could not be applied out of the log, since that would stop every
// server.
func checkCommand(data []byte) error {
	c, err := command.Decode(data)
	if err != nil {
		return err
	}
	if c.Type() == command.TypeBatch {
		return errors.New("batches are made by the leader only")
	}
	return nil
}

// maxCommand bounds what another agent may propose in one piece.
const maxCommand = 64 << 20

// call sends one internal request to a server and returns the answer's body. errRetry: surely
// nothing happened there.
func (s *Store) call(ctx context.Context, method, addr, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set(headerVia, viaLAN)
	resp, err := s.trans.RoundTrip(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s.unprefer(addr)
		if notSent(err) || method == http.MethodGet {
			return nil, errRetry
		}
		return nil, &rpcError{addr, err}
	}
	defer resp.Body.Close()
	if hint, ok := resp.Header[headerNotLeader]; ok {
		if len(hint) > 0 {
			s.learnLeader(hint[0])
		}
		return nil, errRetry
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, &rpcError{addr, err}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fromWire(&wireError{Text: string(bytes.TrimSpace(b))})
	}
	if s.node == nil && path == "/internal/store/propose" {
		s.learnLeader(addr)
	}
	return b, nil
}
