// Package berth holds the words of the domain: nodes, services, checks, keys, sessions and
// members as every other package and Consul's clients know them, and the errors they share.
//
// It imports only the standard library, starts no goroutine and keeps no state. The packages
// store, agent, registrator, dnsproxy and httpapi import it and never one another; they meet
// in cmd/berth through interfaces which the user of a thing declares.
//
// JSON members carry the names that Consul's HTTP API uses. Values that came out of the
// catalog (anything behind a pointer returned by a read) are shared and must not be changed:
// copy first.
package berth
