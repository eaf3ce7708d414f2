package registrator

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openExit returns a handle that becomes readable when process pid ends; nil where that cannot be
// told. The process has to belong to the container id by its cgroup: an agent that does not share
// the engine's process numbers would watch somebody else.
func openExit(pid int, id string) *os.File {
	if pid <= 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil
	}
	group, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)) // after the handle: the number cannot be another's now
	if err != nil || !bytes.Contains(group, []byte(id)) || exited(uintptr(fd)) {
		_ = unix.Close(fd)
		return nil
	}
	return os.NewFile(uintptr(fd), "pidfd")
}

// waitExit returns true when the process behind f has ended, false when f was closed.
func waitExit(f *os.File) bool {
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	err = conn.Read(func(fd uintptr) bool { ended = exited(fd); return ended })
	return err == nil && ended
}

func exited(fd uintptr) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err == nil && n > 0
}
