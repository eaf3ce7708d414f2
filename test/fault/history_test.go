//go:build fault

package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// kvInput is what a client asked of one key. Values are unique, so that a compare-and-set on a
// value is the same as one on the index at which the value was written.
type kvInput struct {
	op   string // get, put, cas, delete
	key  string
	from string // cas: the value that must be there; "" is none
	to   string // put and cas
}

// kvOutput is the answer. A lost answer leaves open whether a write was done, and when: such a
// call ends at the end of time.
type kvOutput struct {
	value string // get
	ok    bool   // cas
	lost  bool
}

// kvModel is one key that is written and read one operation after the other.
var kvModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range history {
			k := o.Input.(kvInput).key
			byKey[k] = append(byKey[k], o)
		}
		var out [][]porcupine.Operation
		for _, ops := range byKey {
			out = append(out, ops)
		}
		return out
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		have, in, out := state.(string), input.(kvInput), output.(kvOutput)
		switch in.op {
		case "get":
			return out.lost || out.value == have, have
		case "put":
			return true, in.to
		case "delete":
			return true, ""
		}
		done := have == in.from
		if !out.lost && done != out.ok {
			return false, have
		}
		if done {
			have = in.to
		}
		return true, have
	},
	DescribeOperation: func(input, output any) string {
		in, out := input.(kvInput), output.(kvOutput)
		return fmt.Sprintf("%s %s %q->%q = %q ok=%v lost=%v", in.op, in.key, in.from, in.to, out.value, out.ok, out.lost)
	},
}

// recorder runs operations on a few keys at a time and writes their history.
type recorder struct {
	began   time.Time
	mu      sync.Mutex // guards the rest
	ops     []porcupine.Operation
	next    int // client number: one whose call was lost is not used again
	unique  int
	slowest time.Duration
}

func newRecorder() *recorder { return &recorder{began: time.Now()} }

// Keys change with time, so that a history of one key stays short enough to be checked.
const (
	keysAtATime = 4
	keyLife     = 8 * time.Second
	callLimit   = 4 * time.Second
)

// run uses random agents until ctx ends; seed makes the choices the same again.
func (r *recorder) run(ctx context.Context, hosts []*host, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	client := r.client()
	known := map[string]kvSeen{}
	for ctx.Err() == nil {
		h := hosts[rnd.IntN(len(hosts))]
		key := fmt.Sprintf("hist/%d/%d", time.Since(r.began)/keyLife, rnd.IntN(keysAtATime))
		if !r.one(ctx, rnd, h, client, key, known) {
			client = r.client()
		}
		time.Sleep(time.Duration(5+rnd.IntN(30)) * time.Millisecond)
	}
}

// kvSeen is a value with the index that it was read with.
type kvSeen struct {
	value string
	index uint64
}

func (r *recorder) client() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	return r.next
}

func (r *recorder) value() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unique++
	return fmt.Sprintf("v%d", r.unique)
}

// one does one operation and records it; false: its answer was lost.
func (r *recorder) one(ctx context.Context, rnd *rand.Rand, h *host, client int, key string, known map[string]kvSeen) bool {
	in := kvInput{key: key}
	path, method, body := "/v1/kv/"+key, http.MethodPut, ""
	switch p := rnd.IntN(100); {
	case p < 40:
		in.op, method, path = "get", http.MethodGet, path+"?consistent"
	case p < 65:
		in.op, in.to = "put", r.value()
	case p < 70:
		in.op, method = "delete", http.MethodDelete
	default:
		seen := known[key]
		in.op, in.from, in.to = "cas", seen.value, r.value()
		path += fmt.Sprintf("?cas=%d", seen.index)
	}
	body = in.to
	call, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	start := time.Since(r.began)
	b, _, err := h.do(call, method, path, body)
	end := time.Since(r.began)
	out, sent := kvAnswer(in, b, err)
	if !sent {
		return true // it was never sent
	}
	if in.op == "get" && !out.lost {
		known[key] = kvSeen{out.value, kvIndex(b)}
	}
	op := porcupine.Operation{ClientId: client, Input: in, Output: out, Call: int64(start), Return: int64(end)}
	if out.lost {
		if in.op == "get" {
			return true // says nothing
		}
		op.Return = math.MaxInt64
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, op)
	r.slowest = max(r.slowest, end-start)
	return !out.lost
}

// kvAnswer reads an answer; sent is false when the agent cannot have seen the request.
func kvAnswer(in kvInput, b []byte, err error) (out kvOutput, sent bool) {
	var status *statusError
	var op *net.OpError
	switch {
	case errors.As(err, &status) && status.code == http.StatusNotFound && in.op == "get":
		return kvOutput{}, true
	case errors.As(err, &op) && op.Op == "dial":
		return kvOutput{}, false
	case err != nil:
		return kvOutput{lost: true}, true
	}
	if in.op != "get" {
		return kvOutput{ok: string(b) == "true"}, true
	}
	var entries []struct{ Value []byte }
	if err := json.Unmarshal(b, &entries); err != nil || len(entries) != 1 {
		return kvOutput{lost: true}, true
	}
	return kvOutput{value: string(entries[0].Value)}, true
}

// kvIndex is the modification index of the entry in an answer; 0 for none.
func kvIndex(b []byte) uint64 {
	var entries []struct{ ModifyIndex uint64 }
	if json.Unmarshal(b, &entries) != nil || len(entries) != 1 {
		return 0
	}
	return entries[0].ModifyIndex
}

// check judges the history; every key must look as if operations came one after the other.
func (r *recorder) check(t testing.TB, limit time.Duration) {
	t.Helper()
	lost := 0
	for _, o := range r.ops {
		if o.Output.(kvOutput).lost {
			lost++
		}
	}
	began := time.Now()
	result, info := porcupine.CheckOperationsVerbose(kvModel, r.ops, limit)
	t.Logf("history of %d operations, %d of unknown outcome, slowest %v: %s, judged in %v", len(r.ops), lost, r.slowest.Round(time.Millisecond), result, time.Since(began).Round(time.Millisecond))
	switch {
	case len(r.ops) == 0:
		t.Error("no operation was recorded")
	case result == porcupine.Unknown:
		t.Log("the judge ran out of time: not every key was judged")
	case result == porcupine.Illegal:
		file := baseDir + "-history.html"
		_ = porcupine.VisualizePath(kvModel, info, file)
		t.Errorf("the history is not linearizable, see %s: %v", file, r.firstBad())
	}
}

// firstBad gives the operations of the first key that cannot be explained.
func (r *recorder) firstBad() []string {
	for _, ops := range kvModel.Partition(r.ops) {
		if porcupine.CheckOperations(kvModel, ops) {
			continue
		}
		slices.SortFunc(ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
		var out []string
		for _, o := range ops {
			out = append(out, fmt.Sprintf("\n%v-%v client %d: %s", time.Duration(o.Call), time.Duration(o.Return), o.ClientId, kvModel.DescribeOperation(o.Input, o.Output)))
		}
		return out
	}
	return nil
}
