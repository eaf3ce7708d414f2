package main

import (
	"fmt"
	"strings"

	"berth/internal/config"
)

// banner is what the agent prints before its log.
func banner(cfg *config.Config) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%18s: %s\n", name, fmt.Sprintf(format, args...))
	}
	list := func(addrs []string) string {
		if len(addrs) == 0 {
			return "off"
		}
		return strings.Join(addrs, " ")
	}
	b.WriteString("==> Starting berth agent...\n")
	line("Version", "%s", version)
	if id := cfg.Node.ID; id != "" {
		line("Node ID", "'%s'", id)
	}
	line("Node name", "'%s'", cfg.Node.Name)
	line("Datacenter", "'%s'", cfg.Node.Datacenter)
	line("Server", "%v (Bootstrap expect: %d)", cfg.Server.Enabled, cfg.Server.BootstrapExpect)
	line("HTTP Addr", "%s", list(cfg.Addrs.HTTP))
	line("HTTPS Addr", "%s", list(cfg.Addrs.HTTPS))
	dns := list(cfg.Addrs.DNS)
	if len(cfg.Addrs.DNSOptional) > 0 {
		dns += " (and where free: " + list(cfg.Addrs.DNSOptional) + ")"
	}
	line("DNS Addr", "%s", dns)
	line("Cluster Addr", "%s (LAN: %d, WAN: %d, server: %d)", cfg.Addrs.Advertise, cfg.Ports.SerfLAN, cfg.Ports.SerfWAN, cfg.Ports.Server)
	line("Gossip Encryption", "%v", cfg.Gossip.Encrypt != "")
	line("Registrator", "%v", cfg.Registrator.Enabled)
	line("Data", "%s", dataPlace(cfg))
	b.WriteString("\n==> Log data will now stream in as it occurs:\n\n")
	return b.String()
}

func dataPlace(cfg *config.Config) string {
	if cfg.Node.DataDir == "" {
		return "in memory only"
	}
	return cfg.Node.DataDir
}
