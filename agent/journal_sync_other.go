//go:build !linux

package agent

import "os"

func datasync(f *os.File) error { return f.Sync() }
