// Package goldentest replays HTTP exchanges that were recorded from Consul against a server and
// tells where its answers differ.
//
// The server has to be fresh, a single server of datacenter dc1 on node n1 whose agent's
// services and catalog are empty. Answers are compared as trees: presence and type of every
// member, statuses, headers, and error texts by substring. Identifiers, indexes, times and
// versions are only compared in kind, and identifiers that the server made are put in place of
// the recorded ones in later requests.
package goldentest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"
)

// Exchange is one recorded request with its answer.
type Exchange struct {
	Method      string            `json:"method"`
	Path        string            `json:"path"`
	RequestBody json.RawMessage   `json:"request_body"`
	Status      int               `json:"status"`
	Headers     map[string]string `json:"headers"`
	Body        json.RawMessage   `json:"body"`
	BodyText    *string           `json:"body_text"`
	Note        string            `json:"note"`
}

// Difference is one place where an answer is not as recorded.
type Difference struct {
	Exchange     int // its number in the recording, from 0
	Method, Path string
	Where        string // status, header.<name>, text, or body with the path into the tree
	Want, Got    string
}

func (d Difference) String() string {
	return fmt.Sprintf("#%d %s %s: %s: want %s, got %s", d.Exchange, d.Method, d.Path, d.Where, d.Want, d.Got)
}

// Load reads a recording.
func Load(file string) ([]Exchange, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var out []Exchange
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return out, nil
}

// settle is how long a read may differ before that counts: an agent writes to the catalog a
// moment after it has answered.
const settle = 3 * time.Second

// Replay sends the exchanges of a recording in order to the server at baseURL and gives the
// differences that are not in Allowed.
func Replay(ctx context.Context, client *http.Client, baseURL, file string) ([]Difference, error) {
	exchanges, err := Load(file)
	if err != nil {
		return nil, err
	}
	s := &session{client: client, base: strings.TrimSuffix(baseURL, "/"), replace: make(map[string]string)}
	var out []Difference
	for i := range exchanges {
		diffs, err := s.exchange(ctx, i, &exchanges[i])
		if err != nil {
			return out, fmt.Errorf("exchange %d, %s %s: %w", i, exchanges[i].Method, exchanges[i].Path, err)
		}
		out = append(out, diffs...)
	}
	return out, nil
}

// session is one replay.
type session struct {
	client  *http.Client
	base    string
	replace map[string]string // recorded identifier or index -> the server's
}

// exchange runs one exchange; reads are repeated for a while until they are as recorded.
func (s *session) exchange(ctx context.Context, i int, e *Exchange) ([]Difference, error) {
	deadline := time.Now().Add(settle)
	for {
		diffs, err := s.once(ctx, i, e)
		if err != nil || len(diffs) == 0 || e.Method != http.MethodGet || time.Now().After(deadline) {
			return diffs, err
		}
		select {
		case <-ctx.Done():
			return diffs, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *session) once(ctx context.Context, i int, e *Exchange) ([]Difference, error) {
	r, err := http.NewRequestWithContext(ctx, e.Method, s.base+s.translate(e.Path), bytes.NewReader(requestBody(e)))
	if err != nil {
		return nil, err
	}
	response, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	c := &comparison{session: s}
	c.status(e, response)
	c.headers(e, response)
	c.answer(e, body)
	var out []Difference
	for _, d := range c.diffs {
		d.Exchange, d.Method, d.Path = i, e.Method, e.Path
		if !allowed(d) {
			out = append(out, d)
		}
	}
	return out, nil
}

// requestBody is the body as it was sent: a recorded string went out as it is, anything else as JSON.
func requestBody(e *Exchange) []byte {
	var text string
	if json.Unmarshal(e.RequestBody, &text) == nil {
		return []byte(text)
	}
	return e.RequestBody
}

var casIndex = regexp.MustCompile(`cas=(\d+)`)

// translate puts the server's identifiers and indexes in place of the recorded ones.
func (s *session) translate(path string) string {
	path = casIndex.ReplaceAllStringFunc(path, func(m string) string {
		if index, ok := s.replace["index:"+m[4:]]; ok {
			return "cas=" + index
		}
		return m
	})
	return uuid.ReplaceAllStringFunc(path, func(m string) string {
		if id, ok := s.replace[m]; ok {
			return id
		}
		return m
	})
}
