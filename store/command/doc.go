// Package command defines the entries of the raft log: one Go type per command, what applying
// it gives, and the only encoding they have.
//
// An entry is one type byte followed by the command in msgpack. Type numbers are append-only:
// a number is never reused. A type with its high bit set (Ignorable) may be skipped by servers
// that do not know it; an unknown type without that bit must stop the server, since going on
// without it would make its state differ from the others'.
//
// Structs are encoded as maps keyed by member name, so members may be added anywhere and the
// domain types of package berth can be used as they are. A member that an older server does
// not know is skipped by it.
//
// Commands carry everything that is not a function of the log: the proposer's time and the
// IDs that it made up. Applying them needs no clock and no randomness.
package command
