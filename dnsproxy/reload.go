package dnsproxy

import (
	"fmt"
	"slices"
)

// Reload takes over a new configuration: everything but the listen addresses, View, Remote,
// Logger and limits. It reads hosts files and resolv.conf again and empties the caches. On an
// error nothing has changed.
func (s *Server) Reload(cfg Config) error {
	s.reload.Lock()
	defer s.reload.Unlock()
	cfg.Logger, cfg.View = s.log, s.view
	if err := cfg.fill(); err != nil {
		return err
	}
	hosts, err := s.readHosts(cfg.Static.HostsFiles)
	if err != nil {
		return fmt.Errorf("dns hosts files: %w", err)
	}
	s.mu.Lock()
	log := s.config.QueryLog != cfg.QueryLog
	s.config = cfg
	s.mu.Unlock()
	if log {
		s.SetQueryLog(cfg.QueryLog, 1)
	}
	s.fwd.cache.cfg.Store(&cfg.Cache)
	s.set.Store(newSettings(&cfg, newStatic(&cfg.Static, hosts)))
	s.reroute(&cfg.Forward)
	s.Purge("")
	return nil
}

// current is the configuration as of the last Reload.
func (s *Server) current() Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config
}

// reroute sets the upstreams anew; it tells whether they differ from before.
func (s *Server) reroute(cfg *ForwardConfig) bool {
	old := s.fwd.routes.Load()
	def, ok := s.defaults(cfg)
	if !ok && old != nil {
		for _, u := range old.def.ups {
			def = append(def, u.addr)
		}
	}
	clean := *cfg
	clean.Domains = nil
	for _, d := range cfg.Domains {
		d.Servers = slices.DeleteFunc(slices.Clone(d.Servers), func(text string) bool {
			e, err := parseEndpoint(text)
			return err == nil && s.own(e.AddrPort)
		})
		clean.Domains = append(clean.Domains, d)
	}
	s.fwd.routes.Store(newRoutes(clean, def, old))
	s.fwd.probes.poke()
	if old == nil {
		return true
	}
	var before []endpoint
	for _, u := range old.def.ups {
		before = append(before, u.addr)
	}
	return !slices.Equal(before, def)
}

// filesChanged reads hosts files and resolv.conf again; data that cannot be read stays.
func (s *Server) filesChanged() {
	s.reload.Lock()
	defer s.reload.Unlock()
	cfg := s.current()
	if hosts, err := s.readHosts(cfg.Static.HostsFiles); err != nil {
		s.log.Warn("reading hosts files failed, keeping the entries known", "err", err)
	} else {
		s.set.Store(newSettings(&cfg, newStatic(&cfg.Static, hosts)))
		s.fwd.cache.purge([]byte{0})
	}
	if s.reroute(&cfg.Forward) {
		s.log.Info("upstreams changed", "upstreams", s.upstreamText())
		s.fwd.cache.purge([]byte{0})
	}
}

func (s *Server) upstreamText() []string {
	var out []string
	for _, u := range s.fwd.routes.Load().def.ups {
		out = append(out, u.addr.String())
	}
	return out
}

// files is the paths that the configuration names.
func (s *Server) files() []string {
	cfg := s.current()
	paths := slices.Clone(cfg.Static.HostsFiles)
	if cfg.Forward.ResolvConf != "" && len(cfg.Forward.Upstreams) == 0 {
		paths = append(paths, cfg.Forward.ResolvConf)
	}
	return paths
}

// Purge drops forwarded answers of a domain and all below it; "" is everything. It says how
// many there were.
func (s *Server) Purge(domain string) int {
	wire, ok := packName(domain)
	if !ok {
		return 0
	}
	return s.fwd.cache.purge(wire)
}
