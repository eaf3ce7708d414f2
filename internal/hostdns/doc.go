// Package hostdns points a host's resolver at berth and takes it back: it finds out who owns
// resolv.conf, changes the few files that matter, tests, and undoes everything when the test fails.
//
// Nothing here needs the agent's code: the listener is asked by DNS, the owners of ports are
// read from /proc, other programs run through Runner, and every path lies below Host.Root.
// DESIGN.md has the contract.
package hostdns
