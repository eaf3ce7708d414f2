// Package transport is port 8300: one TCP port that carries raft and HTTP/2, plain or in
// mutual TLS, and the pool of HTTP/2 connections to other agents' ports.
//
// On a plain port the first byte tells what a connection is: RaftByte raft, 'P' the HTTP/2
// preface. On a TLS port the protocol negotiated by ALPN does.
//
// Goroutines: Serve runs the accept loop and one goroutine per connection, tracks every
// connection in both directions, and returns when all of them have ended. The HTTP/2 client
// connections' read loops end when Close closes them.
package transport
