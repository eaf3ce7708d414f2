// Package fsm applies the raft log to the state: it is the only writer of a server's
// state.Store, and it keeps and restores the state's snapshots.
package fsm
