package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// snapshotInfo is the meta.json of a snapshot file.
type snapshotInfo struct {
	ID                   string
	Index, Term, Version uint64
	Size                 int64 // of state.bin
}

// readSnapshot reads a snapshot file to its end and compares its checksums.
func readSnapshot(name string) (*snapshotInfo, error) {
	return readSnapshotState(name, func(io.Reader) error { return nil })
}

// readSnapshotState does so and hands its state.bin to rows, which need not read all of it.
func readSnapshotState(name string, rows func(io.Reader) error) (*snapshotInfo, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("%s is not a snapshot: %w", name, err)
	}
	info, sums, want := new(snapshotInfo), map[string]string{}, map[string]string{}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s is not a whole snapshot: %w", name, err)
		}
		sum := sha256.New()
		r := io.TeeReader(t, sum)
		switch h.Name {
		case "meta.json":
			err = json.NewDecoder(r).Decode(info)
		case "state.bin":
			err = rows(r)
		case "SHA256SUMS":
			want, err = readSums(r)
		}
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", name, h.Name, err)
		}
		if h.Name == "state.bin" {
			info.Size = h.Size
		}
		sums[h.Name] = hex.EncodeToString(sum.Sum(nil))
	}
	for _, file := range []string{"meta.json", "state.bin"} {
		if sums[file] == "" || want[file] != sums[file] {
			return nil, fmt.Errorf("%s: %s is missing or not what its checksum says", name, file)
		}
	}
	return info, nil
}

func readSums(r io.Reader) (map[string]string, error) {
	text, err := io.ReadAll(io.LimitReader(r, 1<<20))
	sums := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) == 2 {
			sums[strings.TrimPrefix(words[1], "*")] = words[0]
		}
	}
	return sums, err
}
