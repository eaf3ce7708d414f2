package fsm

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"berth/store/command"
)

// Reseal gives the records at the start of b, whatever is in them, a trailer that matches, so
// that a fuzzer gets past the checksum.
func Reseal(b []byte) []byte {
	if !bytes.HasPrefix(b, []byte(magic)) {
		return b
	}
	end, records := len(magic), -1 // the header is not counted
	for end < len(b) && b[end] != recTrailer {
		n, w := binary.Uvarint(b[end+1:])
		if w <= 0 || n > uint64(len(b)-end-1-w) {
			break
		}
		end += 1 + w + int(n)
		records++
	}
	out := bytes.Clone(b[:end])
	var e command.Encoder
	t, err := e.Value(recTrailer, trailer{Records: uint64(max(records, 0)), CRC: crc32.Checksum(out, castagnoli)})
	if err != nil {
		return b
	}
	out = binary.AppendUvarint(append(out, recTrailer), uint64(len(t)-1))
	return append(out, t[1:]...)
}
