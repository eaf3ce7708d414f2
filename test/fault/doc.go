// Package fault drives real berth processes as several hosts and breaks things on purpose.
//
// Each host is a network namespace with an address of 10.214.0.0/16 on a switch that is a
// namespace too, so nothing leaves them. The tests are behind the build tag fault and need root,
// iproute2 and iptables: `make fault`. A Cluster starts, kills, wipes, moves and cuts off
// hosts; whatever happens to the test process, a janitor process removes what it made.
//
// TestPromise_* are the rows of the table of failures in docs/operations.md. TestSchedule runs
// registrations, KV reads and writes while faults come at random; BERTH_SEED runs one schedule
// again, BERTH_FAULT_DURATION says for how long.
package fault
