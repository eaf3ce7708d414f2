// Package compat holds no code: its tests drive the real berth binary with other people's,
// unmodified Consul clients. It is a module of its own so that their dependencies are not
// berth's.
//
// `go test` needs bin/berth (or BERTH_BIN). The build tag "programs" adds the tests with real
// programs; `make compat` installs those and runs everything.
package compat
