// Package state keeps the replicated catalog in memory: nodes, service instances, checks, the
// key/value store, sessions, coordinates, prepared queries and autopilot's configuration, with
// the indexes and watches that blocking queries need.
//
// Writes go through a Tx, which only the goroutine that applies the log may use; each write
// takes the raft index first and is a pure function of the state and its arguments: no clock,
// no randomness, no map order, no network, no logging. Reads are methods of Store (newest
// state) or View (one snapshot); they take a memdb.WatchSet, which may be nil, and return the
// index of their result and the rows. What they return is shared and must not be changed.
//
// See DESIGN.md for how indexes and watches work.
package state
