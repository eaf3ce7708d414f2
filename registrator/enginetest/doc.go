// Package enginetest is a scripted Docker engine for tests: it keeps containers, serves the few
// API calls that berth makes, and can misbehave in every way that real engines have been seen
// to. It needs no Docker and works inside a testing/synctest bubble (Dial uses net.Pipe).
package enginetest
