//go:build linux

package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// job is one kind of request, repeated by a number of clients. Its functions append to b; i
// counts the client's requests.
type job struct {
	name    string
	clients int
	method  string
	path    func(b []byte, client, i int) []byte
	body    func(b []byte, client, i int) []byte
}

var jobs = []job{
	{"kv put", 64, http.MethodPut,
		func(b []byte, c, i int) []byte { return fmt.Appendf(b, "/v1/kv/bench/%d/%d", c, i%1000) },
		func(b []byte, _, i int) []byte { return fmt.Appendf(b, "value %d", i) }},
	{"catalog register", 64, http.MethodPut,
		func(b []byte, _, _ int) []byte { return append(b, "/v1/catalog/register"...) },
		func(b []byte, c, i int) []byte {
			n := i % 200
			return fmt.Appendf(b, `{"Node":"bench-%d-%d","Address":"10.1.%d.%d","Service":{"ID":"s%d","Service":"bench","Port":%d}}`,
				c, n, c, n%250, n, 1000+i%60000)
		}},
	{"agent register", 16, http.MethodPut,
		func(b []byte, _, _ int) []byte { return append(b, "/v1/agent/service/register"...) },
		func(b []byte, c, i int) []byte {
			return fmt.Appendf(b, `{"ID":"a-%d-%d","Name":"agent-bench","Port":%d}`, c, i%50, 1000+i%60000)
		}},
	{"health passing", 64, http.MethodGet,
		func(b []byte, _, _ int) []byte { return append(b, "/v1/health/service/three?passing"...) },
		func(b []byte, _, _ int) []byte { return b }},
}

// headerLength tells the no-op server how long an answer shall be; others do not know it.
const headerLength = "X-Answer-Length"

// appendRequest writes a whole request. scratch is memory for the body.
func (j job) appendRequest(b, scratch []byte, addr string, client, i, length int) []byte {
	body := j.body(scratch[:0], client, i)
	b = append(append(b, j.method...), ' ')
	b = j.path(b, client, i)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), addr...)
	b = append(append(b, "\r\nUser-Agent: bench\r\n"+headerLength+": "...), strconv.Itoa(length)...)
	if j.method != http.MethodGet {
		b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(body)), 10)
	}
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

// prepare registers the three healthy instances that reads are about.
func prepare(servers []server) error {
	for _, s := range servers {
		for i := range 3 {
			body := fmt.Sprintf(`{"Node":"three-%d","Address":"10.2.0.%d","Service":{"ID":"three","Service":"three","Port":80},`+
				`"Check":{"CheckID":"c","Name":"c","Status":"passing","ServiceID":"three"}}`, i, i+1)
			if _, err := once(s.addr, http.MethodPut, "/v1/catalog/register", body); err != nil {
				return err
			}
		}
	}
	return nil
}

// answerLength is how long a server's answer to a job's request is.
func answerLength(addr string, j job) (int, error) {
	return once(addr, j.method, string(j.path(nil, 0, 0)), string(j.body(nil, 0, 0)))
}

func once(addr, method, path, body string) (length int, err error) {
	req, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s at %s: %s: %s", method, path, addr, resp.Status, answer)
	}
	return len(answer), err
}
