// Package dnsproxy is the DNS server of a host. It answers the names of the catalog from
// local memory, static records and hosts files from what the administrator wrote, and sends
// all other names to upstream resolvers, with a cache.
//
// New binds, Run answers, CatalogChanged says which packed answers are old. DESIGN.md tells
// how a packet travels and what is promised when things fail.
package dnsproxy
