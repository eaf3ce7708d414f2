package check

import (
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// silentWait is how long a UDP check without a timeout waits for a refusal.
const silentWait = time.Second

type udpRunner struct {
	addr    string
	timeout time.Duration
}

// Run sends an empty datagram. An answer, or silence until the deadline, is a success, since
// most protocols do not answer nothing; a refusal by ICMP is a failure.
func (u *udpRunner) Run(ctx context.Context) Result {
	ctx, cancel := context.WithTimeout(ctx, u.timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", u.addr)
	if err != nil {
		return critical("%v", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // closed already
	defer stop()
	if _, err := conn.Write(nil); err != nil {
		return critical("%v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return critical("%v", err)
	}
	return passing("UDP connect %s: Success", u.addr)
}
