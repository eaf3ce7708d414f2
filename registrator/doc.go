// Package registrator turns what Docker runs on this host into the set of services that the
// host wants registered.
//
// It is level-triggered: events of the engine only mark a container as dirty, an inspect tells
// what is true, and a list every 30 seconds repairs whatever events did not tell. The result is
// handed to a Sink as one complete set. DESIGN.md states the contract and its invariants.
package registrator
