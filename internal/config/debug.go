package config

import (
	"encoding/json"
	"net/netip"
)

// hidden stands where a secret is.
const hidden = "hidden"

// Debug is the configuration as /v1/agent/self shows it under DebugConfig: the groups of
// Config, secrets hidden, and the members that Consul's clients look at.
func (c *Config) Debug() map[string]any {
	shown := *c
	shown.Gossip.Encrypt = hide(shown.Gossip.Encrypt)
	shown.Definitions = Definitions{}
	m := map[string]any{}
	if text, err := json.Marshal(shown); err == nil {
		err = json.Unmarshal(text, &m)
		if err != nil {
			m = map[string]any{}
		}
	}
	delete(m, "Definitions")
	var dns []string
	for _, a := range append(append([]string{}, c.Addrs.DNS...), c.Addrs.DNSOptional...) {
		dns = append(dns, "tcp://"+a, "udp://"+a)
	}
	m["DNSAddrs"], m["HTTPAddrs"], m["HTTPSAddrs"] = dns, c.Addrs.HTTP, c.Addrs.HTTPS
	m["DNSPort"], m["HTTPPort"], m["HTTPSPort"] = c.Ports.DNS, c.Ports.HTTP, c.Ports.HTTPS
	m["ServerPort"], m["SerfPortLAN"], m["SerfPortWAN"] = c.Ports.Server, c.Ports.SerfLAN, c.Ports.SerfWAN
	m["AdvertiseAddrLAN"], m["AdvertiseAddrWAN"] = c.Addrs.Advertise.String(), c.Addrs.AdvertiseWAN.String()
	m["SerfAdvertiseAddrLAN"] = "tcp://" + netip.AddrPortFrom(c.Addrs.Advertise, uint16(c.Ports.SerfLAN)).String()
	m["SerfAdvertiseAddrWAN"] = "tcp://" + netip.AddrPortFrom(c.Addrs.AdvertiseWAN, uint16(c.Ports.SerfWAN)).String()
	m["Bootstrap"], m["BootstrapExpect"], m["ServerMode"] = c.Server.BootstrapExpect == 1, c.Server.BootstrapExpect, c.Server.Enabled
	m["NodeName"], m["Datacenter"], m["DataDir"], m["DevMode"] = c.Node.Name, c.Node.Datacenter, c.Node.DataDir, c.Dev
	return m
}

func hide(s string) string {
	if s == "" {
		return ""
	}
	return hidden
}
