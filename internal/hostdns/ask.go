package hostdns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// askLimit bounds one question.
const askLimit = 4 * time.Second

// answer is what came back.
type answer struct {
	rcode dnsmessage.RCode
	addrs []netip.Addr
}

// found tells whether there was an address.
func (a answer) found() bool { return a.rcode == dnsmessage.RCodeSuccess && len(a.addrs) > 0 }

func (a answer) String() string {
	if a.rcode != dnsmessage.RCodeSuccess {
		return rcodeName(a.rcode)
	}
	if len(a.addrs) == 0 {
		return "no address"
	}
	var out []string
	for _, ip := range a.addrs {
		out = append(out, ip.String())
	}
	return strings.Join(out, " ")
}

func rcodeName(r dnsmessage.RCode) string {
	switch r {
	case dnsmessage.RCodeNameError:
		return "no such name (NXDOMAIN)"
	case dnsmessage.RCodeServerFailure:
		return "SERVFAIL"
	case dnsmessage.RCodeRefused:
		return "REFUSED"
	}
	return r.String()
}

// ask puts one question of type A to a server, once.
func ask(ctx context.Context, network string, server netip.AddrPort, name string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	packet, id, err := question(name)
	if err != nil {
		return answer{}, err
	}
	c, err := new(net.Dialer).DialContext(ctx, network, server.String())
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	if network == "tcp" {
		packet = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
	}
	if _, err := c.Write(packet); err != nil {
		return answer{}, err
	}
	for {
		reply, err := readReply(c, network)
		if err != nil {
			return answer{}, err
		}
		a, ok, err := parseReply(reply, id)
		if ok || err != nil {
			return a, err
		}
	}
}

func question(name string) ([]byte, uint16, error) {
	n, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return nil, 0, fmt.Errorf("name %q: %w", name, err)
	}
	var id [2]byte
	_, _ = rand.Read(id[:])
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: binary.BigEndian.Uint16(id[:]), RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	packet, err := m.Pack()
	return packet, m.ID, err
}

func readReply(c net.Conn, network string) ([]byte, error) {
	buf := make([]byte, 65535)
	if network != "tcp" {
		n, err := c.Read(buf)
		return buf[:n], err
	}
	if _, err := io.ReadFull(c, buf[:2]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(buf))
	_, err := io.ReadFull(c, buf[:n])
	return buf[:n], err
}

// parseReply reads a reply; ok is false for one to somebody else's question.
func parseReply(packet []byte, id uint16) (a answer, ok bool, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(packet)
	if err != nil || h.ID != id || !h.Response {
		return a, false, nil
	}
	a.rcode = h.RCode
	if err := p.SkipAllQuestions(); err != nil {
		return a, false, err
	}
	for {
		rh, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return a, true, nil
		}
		if err != nil {
			return a, false, err
		}
		if rh.Type == dnsmessage.TypeA {
			r, err := p.AResource()
			if err != nil {
				return a, false, err
			}
			a.addrs = append(a.addrs, netip.AddrFrom4(r.A))
		} else if err := p.SkipAnswer(); err != nil {
			return a, false, err
		}
	}
}

// randomName is a name that no cache knows.
func randomName(below string) string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return "berth-" + hex.EncodeToString(b[:]) + "." + strings.TrimSuffix(below, ".")
}
