// Package config turns files, environment variables and flags into one validated Config.
//
// The user's side is File: a tree of optional values whose struct tags carry the key, the
// flag, whether a reload applies a change, and the description; docs/config.md is rendered
// from them. The program's side is Config: plain values, grouped by who needs them.
//
//	defaults -> -dev -> files in order -> environment -> flags -> Validate -> Config
//
// A later layer replaces single values, adds to maps and appends to lists; lists of the
// defaults are replaced. Files are YAML; JSON is YAML, so Consul's JSON files load as they are.
package config
