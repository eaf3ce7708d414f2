package agent

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync puts a file's data, and of its metadata only what reading it back needs, on disk.
func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return err
		}
	}
}
