// Package store is an agent's part in the cluster: the replicated catalog on servers, a replica
// of it on clients, and the way of every request to where it runs.
//
// A Store joins raft (the log, store/fsm, store/state), gossip (store/gossip) and the server
// port (store/transport). Writes become commands (store/command) that the leader puts into the
// log in batches; reads are made from local state, also the blocking ones. DESIGN.md has the
// contract, the goroutines and the answers to failures.
package store
