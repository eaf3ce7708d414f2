package main

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// raiseBindRight makes the right to bind ports below 1024 effective when the program file
// brought it (see internal/setcap) and the process is not root. Where the right is missing,
// binding such a port says so later.
func raiseBindRight() {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return
	}
	const bit = 1 << unix.CAP_NET_BIND_SERVICE
	if data[0].Permitted&bit == 0 || data[0].Effective&bit != 0 {
		return
	}
	data[0].Effective |= bit
	// Rights belong to threads, and Go may bind on any of them. Programs with cgo cannot do this;
	// berth is built without.
	_, _, _ = syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
}
