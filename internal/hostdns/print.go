package hostdns

import (
	"fmt"
	"net/netip"
)

// snippets is what other resolvers need in front of berth.
func snippets(at netip.AddrPort, domain string) string {
	ip, port := at.Addr(), at.Port()
	return fmt.Sprintf(`Other resolvers in front of berth at %[1]s:

dnsmasq, /etc/dnsmasq.d/berth.conf:
    server=/%[4]s/%[2]s#%[3]d

BIND, named.conf (it validates: the domain is not in the signed root):
    zone "%[4]s" IN { type forward; forward only; forwarders { %[2]s port %[3]d; }; };
    options { validate-except { "%[4]s"; }; };

unbound, /etc/unbound/unbound.conf.d/berth.conf:
    server:
        do-not-query-localhost: no
        domain-insecure: "%[4]s"
    stub-zone:
        name: "%[4]s"
        stub-addr: %[2]s@%[3]d

systemd-resolved from version 246, /etc/systemd/resolved.conf.d/berth.conf:
    [Resolve]
    DNS=%[1]s
    Domains=service.%[4]s ~%[4]s
    DNSSEC=no

resolv.conf, when berth answers on port 53:
    nameserver %[2]s
    search service.%[4]s
    options timeout:2 attempts:2

docker, /etc/docker/daemon.json, with an address that containers reach, and no other server:
    { "dns": ["172.17.0.1"] }
`, at, ip, port, domain)
}
