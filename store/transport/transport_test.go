package transport_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"berth/internal/sockets"
	"berth/internal/testutil"
	"berth/store/transport"
)

func listen(t *testing.T, tls transport.TLS) *transport.Transport {
	t.Helper()
	l, err := sockets.ListenTCP("a test", "127.0.0.1", 0)
	testutil.NoError(t, err)
	tr := transport.New(transport.Config{Logger: testutil.Logger(t), Listener: l, TLS: tls})
	testutil.Start(t, func(ctx context.Context) error {
		return tr.Serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %d", r.Method, r.URL, len(b))
		}))
	})
	return tr
}

func keys(t *testing.T, all ...string) *transport.KeyTLS {
	t.Helper()
	var raw [][]byte
	for _, k := range all {
		raw = append(raw, []byte(strings.Repeat(k, 32)))
	}
	k, err := transport.NewKeyTLS(func() [][]byte { return raw })
	testutil.NoError(t, err)
	return k
}

func get(from, to *transport.Transport) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	addr := to.Addr().String()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+addr+"/a%2Fb?c=d", bytes.NewReader(make([]byte, 100_000)))
	if err != nil {
		return "", err
	}
	resp, err := from.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestTransport_OnePortCarriesRaftAndHTTP(t *testing.T) {
	for name, tls := range map[string]transport.TLS{"plain": nil, "from a key": keys(t, "a")} {
		t.Run(name, func(t *testing.T) {
			a, b := listen(t, tls), listen(t, tls)
			body, err := get(a, b)
			testutil.NoError(t, err)
			testutil.Equal(t, body, "PUT /a%2Fb?c=d 100000")
			out, err := a.DialRaft(b.Addr().String(), time.Second)
			testutil.NoError(t, err)
			go out.Write([]byte("vote"))
			in, err := b.RaftListener().Accept()
			testutil.NoError(t, err)
			got := make([]byte, 4)
			_, err = io.ReadFull(in, got)
			testutil.NoError(t, err)
			testutil.Equal(t, string(got), "vote")
		})
	}
}

func TestTransport_KeysThatDiffer(t *testing.T) {
	if _, err := get(listen(t, keys(t, "a")), listen(t, keys(t, "b"))); err == nil || !strings.Contains(err.Error(), "encrypt key differs") {
		t.Errorf("other key: %v", err)
	} else if !transport.NotSent(err) {
		t.Error("a failed handshake is not known to have sent nothing")
	}
	for name, p := range map[string][2]transport.TLS{"plain to TLS": {nil, keys(t, "a")}, "TLS to plain": {keys(t, "a"), nil}} {
		if _, err := get(listen(t, p[0]), listen(t, p[1])); err == nil {
			t.Errorf("%s: answered", name)
		}
	}
}

func TestTransport_RotationHasNoBreak(t *testing.T) {
	before, during, used, after := keys(t, "a"), keys(t, "a", "b"), keys(t, "b", "a"), keys(t, "b")
	for i, p := range [][2]transport.TLS{{before, during}, {during, used}, {used, during}, {used, after}, {after, used}} {
		if _, err := get(listen(t, p[0]), listen(t, p[1])); err != nil {
			t.Errorf("step %d: %v", i, err)
		}
	}
}

func TestTransport_RoundTrip_NobodyThere(t *testing.T) {
	a := listen(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testutil.NoError(t, err)
	l.Close()
	req, err := http.NewRequest(http.MethodGet, "http://"+l.Addr().String()+"/", nil)
	testutil.NoError(t, err)
	if _, err := a.RoundTrip(req); err == nil || !transport.NotSent(err) {
		t.Errorf("got %v", err)
	}
}

func TestTransport_IgnoresForeignBytes(t *testing.T) {
	a := listen(t, nil)
	for _, hello := range []string{"\x16\x03\x01", "GET / HTTP/1.1\r\n\r\n", "\xff\xff", "PRI nonsense"} {
		c, err := net.Dial("tcp", a.Addr().String())
		testutil.NoError(t, err)
		_, _ = c.Write([]byte(hello))
		c.Close()
	}
	_, err := get(a, a)
	testutil.NoError(t, err)
}

func TestTransport_ConnectionsPerAddress(t *testing.T) {
	const handshake = time.Second
	l, err := sockets.ListenTCP("a test", "127.0.0.1", 0)
	testutil.NoError(t, err)
	tr := transport.New(transport.Config{Logger: testutil.Logger(t), Listener: l, ConnsPerAddr: 2, Handshake: handshake})
	testutil.Start(t, func(ctx context.Context) error { return tr.Serve(ctx, http.NotFoundHandler()) })
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		testutil.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		testutil.NoError(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
		return c
	}
	first, second, third := dial(), dial(), dial()
	began := time.Now()
	_, err = third.Read(make([]byte, 1))
	if err == nil || time.Since(began) > handshake*3/4 { // not by the handshake's end
		t.Errorf("the third connection was not refused at once: %v after %v", err, time.Since(began))
	}
	for _, c := range []net.Conn{first, second} { // silent ones are cut after the handshake's time
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a silent connection was answered")
		}
	}
	if d := time.Since(began); d > 4*handshake {
		t.Errorf("silent connections lived %v, the limit is %v", d, handshake)
	}
	testutil.Eventually(t, 5*time.Second, 10*time.Millisecond, func() error {
		c := dial()
		if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 1))
		if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
			return fmt.Errorf("places were not given back: %v", err)
		}
		return nil
	})
}
