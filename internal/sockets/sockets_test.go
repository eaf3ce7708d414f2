package sockets_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"berth/internal/sockets"
)

func TestListenTCP_PortInUse(t *testing.T) {
	l, err := sockets.ListenTCP("a test", "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = sockets.ListenTCP("server RPC", "127.0.0.1", port)
	if err == nil {
		t.Fatal("bound the same port twice")
	}
	for _, want := range []string{"server RPC", fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("(pid %d)", os.Getpid())} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
}

func TestListenTCP_ForeignAddress(t *testing.T) {
	_, err := sockets.ListenTCP("server RPC", "192.0.2.1", 0)
	if err == nil || !strings.Contains(err.Error(), "does not have that address") {
		t.Fatalf("got %v", err)
	}
}

// Who listens on the same port of another address is not who holds this one.
func TestHolder_HeedsTheAddress(t *testing.T) {
	for _, c := range []struct {
		bound, asked string
		held         bool
	}{
		{"127.0.0.1", "127.0.0.1", true}, {"127.0.0.53", "127.0.0.1", false}, {"0.0.0.0", "127.0.0.1", true},
		{"127.0.0.53", "0.0.0.0", true}, {"::1", "::1", true}, {"::1", "127.0.0.1", false},
	} {
		l, err := sockets.ListenTCP("a test", c.bound, 0)
		if err != nil {
			t.Fatal(err)
		}
		who := sockets.Holder("tcp", c.asked, l.Addr().(*net.TCPAddr).Port)
		if (who != "") != c.held {
			t.Errorf("bound to %s, %s is held by %q", c.bound, c.asked, who)
		}
		l.Close()
	}
}
