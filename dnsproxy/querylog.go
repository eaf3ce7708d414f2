package dnsproxy

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"
)

// queryLog writes one line per answered question while it is on. The readers never wait for
// it: lines that do not fit its queue are dropped and counted.
type queryLog struct {
	on      atomic.Bool
	sample  atomic.Uint64 // one in so many
	seen    atomic.Uint64
	dropped atomic.Uint64
	lines   chan logLine
}

type logLine struct {
	name  [maxName]byte
	nlen  int
	qtype uint16
	rcode uint16
	src   netip.AddrPort
	tcp   bool
	how   string
	took  time.Duration
}

// SetQueryLog switches the query log; one question in sample is written, 0 and 1 are all.
func (s *Server) SetQueryLog(on bool, sample int) {
	s.qlog.sample.Store(uint64(max(sample, 1)))
	s.qlog.on.Store(on)
}

// note queues a line about a reply. how says where it came from.
func (l *queryLog) note(q *query, reply []byte, how string, began time.Time) {
	if !l.on.Load() || len(reply) < headerLen || l.seen.Add(1)%max(l.sample.Load(), 1) != 0 {
		return
	}
	line := logLine{
		name: [maxName]byte(q.name[:maxName]), nlen: q.nlen, qtype: q.qtype, rcode: uint16(reply[3] & 0xf),
		src: q.src, tcp: q.tcp, how: how, took: time.Since(began),
	}
	select {
	case l.lines <- line:
	default:
		l.dropped.Add(1)
	}
}

// run writes the lines until ctx ends.
func (l *queryLog) run(ctx context.Context, log *slog.Logger, level slog.Level) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case x := <-l.lines:
			log.Log(ctx, level, "query", "name", nameText(x.name[:x.nlen]), "type", typeText(x.qtype), "client", x.src,
				"tcp", x.tcp, "rcode", rcodeText(x.rcode), "from", x.how, "took", x.took)
		}
	}
}
