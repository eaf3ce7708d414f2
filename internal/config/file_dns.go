package config

import "time"

// DNSKeys are the top-level keys of the DNS side.
type DNSKeys struct {
	Domain    *string    `key:"domain" flag:"domain" doc:"suffix of catalog names"`
	AltDomain *string    `key:"alt_domain" flag:"alt-domain" doc:"a second suffix"`
	Recursors []string   `key:"recursors" flag:"recursor" reload:"yes" doc:"upstream resolvers, ip or ip:port, with @source-ip if need be; empty: those of dns_config.resolv_conf"`
	DNS       DNSSection `key:"dns_config"`
}

// DNSSection says how names are answered and forwarded.
type DNSSection struct {
	Zone    ZoneKeys
	Forward ForwardKeys
	Cache   CacheKeys
	Limits  DNSLimitKeys

	Static StaticKeys `key:"static"`
}

// ZoneKeys are about catalog names.
type ZoneKeys struct {
	AllowStale         *bool                    `key:"allow_stale" reload:"yes" doc:"accepted; every agent answers from its own replica"`
	MaxStale           *time.Duration           `key:"max_stale" reload:"yes" doc:"answers stop when the replica has not heard from a leader for so long; 0 is never"`
	NodeTTL            *time.Duration           `key:"node_ttl" reload:"yes" doc:"TTL of node names"`
	ServiceTTL         map[string]time.Duration `key:"service_ttl" reload:"yes" doc:"TTL by service: exact name, prefix* or *"`
	NegTTL             *time.Duration           `key:"neg_ttl" reload:"yes" doc:"how long others may keep a negative answer; same as soa.min_ttl"`
	OnlyPassing        *bool                    `key:"only_passing" reload:"yes" doc:"leave out instances in warning"`
	EmptyService       *string                  `key:"empty_service" reload:"yes" doc:"nxdomain, nodata or last_known when no instance is healthy"`
	Truncate           *string                  `key:"truncate" reload:"yes" doc:"auto, always or never set the TC bit on cut answers"`
	EnableTruncate     *bool                    `key:"enable_truncate" reload:"yes" doc:"true is truncate: always"`
	ARecordLimit       *int                     `key:"a_record_limit" reload:"yes" doc:"most addresses in one answer; 0 is no limit"`
	UDPAnswerLimit     *int                     `key:"udp_answer_limit" reload:"yes" doc:"accepted; answers are as long as the client can take"`
	DisableCompression *bool                    `key:"disable_compression" reload:"yes" doc:"accepted; names are always compressed"`
	NodeMetaTXT        *bool                    `key:"node_meta_txt" reload:"yes" doc:"node metadata as TXT records in the additional section"`
	AdditionalTXT      *bool                    `key:"enable_additional_node_meta_txt" reload:"yes" doc:"Consul's name of node_meta_txt"`
	SRVWeightScale     *int                     `key:"srv_weight_scale" reload:"yes" doc:"factor of SRV weights; 256 suits HAProxy"`
	ShortNames         *bool                    `key:"short_names" reload:"yes" doc:"answer single-label names as services"`
	ShortNamesExclude  []string                 `key:"short_names_exclude" reload:"yes" doc:"names that are never taken for services"`
	Zones              []string                 `key:"zones" reload:"yes" doc:"possible zone apexes below domain, for resolvers in front"`
	SOA                SOAKeys                  `key:"soa"`
	UseCache           *bool                    `key:"use_cache" doc:"accepted; the replica needs no cache"`
	CacheMaxAge        *time.Duration           `key:"cache_max_age" doc:"accepted; the replica needs no cache"`
}

// SOAKeys are the numbers in SOA records, seconds.
type SOAKeys struct {
	Refresh *int `key:"refresh" reload:"yes" doc:"accepted; there are no secondaries"`
	Retry   *int `key:"retry" reload:"yes" doc:"accepted; there are no secondaries"`
	Expire  *int `key:"expire" reload:"yes" doc:"accepted; there are no secondaries"`
	MinTTL  *int `key:"min_ttl" reload:"yes" doc:"how many seconds others may keep a negative answer"`
}

// ForwardKeys are about all other names.
type ForwardKeys struct {
	ResolvConf       *string        `key:"resolv_conf" reload:"yes" doc:"file with upstream resolvers when recursors is empty; empty: forward nothing"`
	RecursorStrategy *string        `key:"recursor_strategy" reload:"yes" doc:"fastest, sequential, round_robin, all; random is round_robin"`
	RecursorTimeout  *time.Duration `key:"recursor_timeout" reload:"yes" doc:"time for one question over all upstreams"`
	SourcePortMin    *int           `key:"source_port_min" reload:"yes" doc:"lowest UDP port that upstreams are asked from; 0 is any port"`
	SourcePortMax    *int           `key:"source_port_max" reload:"yes" doc:"highest of these ports"`
	Domains          []DomainKeys   `key:"upstreams" reload:"yes" doc:"own upstreams for domains and all below them: each with domain and servers; server # is the default ones"`
	LocalZones       []string       `key:"local_zones" reload:"yes" doc:"domains that are never forwarded"`
	BogusPriv        *bool          `key:"bogus_priv" reload:"yes" doc:"do not forward reverse look-ups of private addresses"`
	DomainNeeded     *bool          `key:"domain_needed" reload:"yes" doc:"do not forward single-label names"`
	ForwardANY       *bool          `key:"forward_any" reload:"yes" doc:"pass ANY questions on"`
	FilterAAAA       *bool          `key:"filter_aaaa" reload:"yes" doc:"give empty answers to AAAA questions instead of forwarding them"`
	StopRebind       *bool          `key:"stop_rebind" reload:"yes" doc:"empty forwarded answers with private addresses"`
	LoopProbe        *bool          `key:"loop_probe" reload:"yes" doc:"look for forwarding loops"`
	AllowFrom        []string       `key:"allow_from" reload:"yes" doc:"networks that may ask; empty: local and private ones"`
	RefuseSilently   *bool          `key:"drop_refused" reload:"yes" doc:"say nothing to those who may not ask"`
	Reassert         *bool          `key:"reassert" doc:"when another program replaces what berth host install wrote, write it again, three times an hour at most; needs root"`
	LogQueries       *bool          `key:"log_queries" reload:"yes" doc:"log every question"`
}

// DomainKeys send a domain to its own upstreams.
type DomainKeys struct {
	Domain  *string  `key:"domain" doc:"domain; all below it is included"`
	Servers []string `key:"servers" doc:"ip or ip:port, with @source-ip if need be; # is the default upstreams; empty: the domain is local"`
}

// CacheKeys bound the cache of forwarded answers.
type CacheKeys struct {
	CacheEntries *int           `key:"cache_entries" doc:"forwarded answers kept; -1 is no cache"`
	CacheBytes   *int           `key:"cache_bytes" doc:"their size in bytes"`
	CacheMaxTTL  *time.Duration `key:"cache_max_ttl" doc:"longest time an answer is kept"`
	CacheMinTTL  *time.Duration `key:"cache_min_ttl" doc:"shortest time an answer is kept"`
	CacheMaxNeg  *time.Duration `key:"cache_max_negative_ttl" doc:"longest time a negative answer is kept"`
	CacheStale   *time.Duration `key:"cache_stale" doc:"how long an expired answer may stand in while upstreams fail"`
}

// DNSLimitKeys guard against floods.
type DNSLimitKeys struct {
	Concurrent   *int `key:"max_concurrent" doc:"forwarded questions in flight"`
	PerClient    *int `key:"max_concurrent_per_client" doc:"of these, from one client"`
	TCPConns     *int `key:"max_tcp_connections" doc:"TCP connections"`
	RRLPerSecond *int `key:"rate_limit" doc:"answers a second for one network that is not local; -1 is no limit"`
}

// StaticKeys are the administrator's own records.
type StaticKeys struct {
	Hosts      map[string][]string `key:"hosts" reload:"yes" doc:"name to addresses, forward and reverse"`
	Addresses  map[string][]string `key:"addresses" reload:"yes" doc:"domain and all below it to addresses; an empty list is NXDOMAIN"`
	CNAMEs     map[string]string   `key:"cnames" reload:"yes" doc:"alias to name"`
	TXTs       map[string][]string `key:"txt" reload:"yes" doc:"name to texts"`
	PTRs       map[string]string   `key:"ptr" reload:"yes" doc:"address or reverse name to name"`
	SRVs       []SRVKeys           `key:"srv" reload:"yes" doc:"SRV records, each with name, target, port, priority and weight"`
	HostsFiles []string            `key:"hosts_files" reload:"yes" doc:"files or folders in the format of /etc/hosts, read again when they change"`
	Expand     *string             `key:"expand_hosts" reload:"yes" doc:"domain added to plain names of hosts files"`
	TTL        *time.Duration      `key:"ttl" reload:"yes" doc:"TTL of these records"`
}

// SRVKeys is one static SRV record.
type SRVKeys struct {
	Name     *string `key:"name" doc:"owner name"`
	Target   *string `key:"target" doc:"host name"`
	Port     *int    `key:"port" doc:"port"`
	Priority *int    `key:"priority" doc:"lower first"`
	Weight   *int    `key:"weight" doc:"share among equal priorities"`
}
