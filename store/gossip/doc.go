// Package gossip is membership: a Pool is one serf pool (LAN, or WAN between servers) that tells
// its owner about members, user events and coordinates, in berth's own words.
//
// Contract: New binds the sockets; Run joins serf to them and blocks until the pool has ended.
// The callbacks Config.OnMembers and OnEvent run on the pool's one dispatch goroutine, in order;
// they must only copy and signal. Nothing is called while a lock of serf is held.
//
// Goroutines: Run owns the dispatch loop; serf and memberlist own theirs, which end with
// Shutdown (memberlist does not wait for all of them).
package gossip
