package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

type resolveCommand struct {
	client  clientFlags
	addr    string
	tcp     bool
	timeout time.Duration
}

func (c *resolveCommand) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.addr, "dns-addr", "", "DNS server to ask, host:port; BERTH_DNS_ADDR, then the agent's own, then 127.0.0.1:8600")
	f.BoolVar(&c.tcp, "tcp", false, "ask by TCP")
	f.DurationVar(&c.timeout, "timeout", 5*time.Second, "how long to wait for an answer")
}

// defaultDNSAddr is where an agent's DNS answers unless told otherwise.
const defaultDNSAddr = "127.0.0.1:8600"

func (c *resolveCommand) run(e *env, args []string) int {
	if len(args) < 1 || len(args) > 2 {
		return e.errorf("Error: resolve needs a NAME and at most one TYPE")
	}
	name, types, err := question(args)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	addr := c.server(e)
	missing, found := 0, false
	for _, t := range types {
		ctx, cancel := context.WithTimeout(e.ctx, c.timeout)
		m, err := c.ask(ctx, addr, name, t)
		cancel()
		if err != nil {
			return e.errorf("Error: DNS at %s: %v", addr, err)
		}
		switch m.Rcode {
		case dns.RcodeSuccess:
		case dns.RcodeNameError:
			missing++
			continue
		default:
			return e.errorf("Error: DNS at %s answers %s for %s", addr, dns.RcodeToString[m.Rcode], name)
		}
		for _, rr := range m.Answer {
			found = true
			e.printf("%s", answerLine(rr))
		}
	}
	switch {
	case missing == len(types):
		return e.errorf("%s does not exist", name)
	case !found:
		return e.nothing(fmt.Sprintf("%s has no record of type %s", name, typeNames(types)))
	}
	return 0
}

// question reads the arguments: name and the types to ask for.
func question(args []string) (string, []uint16, error) {
	name := args[0]
	ip, ipErr := netip.ParseAddr(name)
	if len(args) == 2 {
		t, ok := dns.StringToType[strings.ToUpper(args[1])]
		if !ok {
			return "", nil, fmt.Errorf("%q is not a DNS record type", args[1])
		}
		if ipErr == nil && t == dns.TypePTR {
			name, ipErr = dns.ReverseAddr(ip.String())
			return name, []uint16{t}, ipErr
		}
		return checkName(name, []uint16{t})
	}
	if ipErr == nil {
		name, err := dns.ReverseAddr(ip.String())
		return name, []uint16{dns.TypePTR}, err
	}
	return checkName(name, []uint16{dns.TypeA, dns.TypeAAAA})
}

func checkName(name string, types []uint16) (string, []uint16, error) {
	if _, ok := dns.IsDomainName(name); !ok || name == "" {
		return "", nil, fmt.Errorf("%q is not a domain name", name)
	}
	return dns.Fqdn(name), types, nil
}

// ask sends one question, by TCP again when the answer was cut.
func (c *resolveCommand) ask(ctx context.Context, addr, name string, t uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, t)
	m.SetEdns0(1232, false)
	network := "udp"
	if c.tcp {
		network = "tcp"
	}
	for {
		cl := &dns.Client{Net: network, Timeout: c.timeout, UDPSize: 1232}
		r, _, err := cl.ExchangeContext(ctx, m, addr)
		if err != nil {
			return nil, err
		}
		if !r.Truncated || network == "tcp" {
			return r, nil
		}
		network = "tcp"
	}
}

// server is the DNS server to ask: flag, environment, what the agent says, default.
func (c *resolveCommand) server(e *env) string {
	addr := c.addr
	if addr == "" {
		addr = e.get(both("DNS_ADDR")...)
	}
	if addr == "" {
		addr = c.agentDNS(e)
	}
	if addr == "" {
		addr = defaultDNSAddr
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		addr = net.JoinHostPort(strings.Trim(addr, "[]"), "53")
	}
	return addr
}

// agentDNS asks the agent where its DNS listens; "" when it does not say.
func (c *resolveCommand) agentDNS(e *env) string {
	cl, err := e.client(&c.client)
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(e.ctx, 2*time.Second)
	defer cancel()
	var self struct {
		DebugConfig struct{ DNSAddrs []string }
	}
	if err := cl.get(ctx, "/v1/agent/self", nil, &self); err != nil {
		return ""
	}
	for _, a := range self.DebugConfig.DNSAddrs {
		_, addr, ok := strings.Cut(a, "://")
		if !ok {
			addr = a
		}
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			continue
		}
		if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
			host = "127.0.0.1"
			if ip.Is6() {
				host = "::1"
			}
		}
		return net.JoinHostPort(host, port)
	}
	return ""
}

// answerLine is name, TTL, type and data; SRV and TXT as dig has them.
func answerLine(rr dns.RR) string {
	h := rr.Header()
	data := strings.TrimPrefix(rr.String(), h.String())
	return fmt.Sprintf("%s\t%d\t%s\t%s", h.Name, h.Ttl, dns.TypeToString[h.Rrtype], data)
}

func typeNames(types []uint16) string {
	var names []string
	for _, t := range types {
		names = append(names, dns.TypeToString[t])
	}
	return strings.Join(names, " or ")
}
