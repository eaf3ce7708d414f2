// Command setcap gives a program file the right to bind ports below 1024 without being root, as
// setcap(8) would: `setcap FILE` sets cap_net_bind_service=+p. The bit that makes the right
// effective is left out on purpose: with it the program could not be started at all where the
// right is withheld (--cap-drop ALL); berth raises it by itself.
package main

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Layout of the security.capability attribute, see capability.h of Linux.
const (
	revision2      = 0x02000000
	netBindService = 1 << unix.CAP_NET_BIND_SERVICE
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: setcap FILE")
		os.Exit(2)
	}
	attr := make([]byte, 20)
	binary.LittleEndian.PutUint32(attr, revision2)
	binary.LittleEndian.PutUint32(attr[4:], netBindService)
	if err := unix.Setxattr(os.Args[1], "security.capability", attr, 0); err != nil {
		fmt.Fprintf(os.Stderr, "setcap %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
