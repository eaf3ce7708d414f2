package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

var snapshotSpecs = []spec{
	{
		name: "snapshot save", args: "FILE", synopsis: "Save the servers' state to a file",
		help: "The file is checked after it was written; a file that exists is replaced only then.",
		make: func() action { return new(snapshotSave) },
	},
	{name: "snapshot restore", args: "FILE", synopsis: "Replace the servers' state by that of a file", make: func() action { return new(snapshotRestore) }},
	{name: "snapshot inspect", args: "FILE", synopsis: "Show what a snapshot file is", make: func() action { return new(snapshotInspect) }},
}

type snapshotSave struct {
	client clientFlags
	append string
}

func (c *snapshotSave) flags(f *flagSet) {
	f.server(&c.client)
	f.StringVar(&c.append, "append-filename", "", "put into the file's name: version, dc, node and status, comma-separated")
}

func (c *snapshotSave) run(e *env, args []string) int {
	if len(args) != 1 {
		return e.errorf("Error: snapshot save needs one FILE")
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	name, err := c.fileName(e, cl, args[0])
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	resp, err := cl.open(e.ctx, http.MethodGet, "/v1/snapshot", nil, nil)
	if err != nil {
		return e.errorf("Error saving snapshot: %v", err)
	}
	defer resp.Body.Close()
	body := e.progress("Saving", resp.Body)
	info, err := storeSnapshot(name, body)
	body.done()
	if err != nil {
		return e.errorf("Error saving snapshot: %v", err)
	}
	e.printf("Saved and verified snapshot to index %d", info.Index)
	return 0
}

// fileName adds what -append-filename asks for before the extension.
func (c *snapshotSave) fileName(e *env, cl *client, name string) (string, error) {
	if c.append == "" {
		return name, nil
	}
	var self struct {
		Config struct{ Datacenter, NodeName, Version string }
	}
	if err := cl.get(e.ctx, "/v1/agent/self", nil, &self); err != nil {
		return "", fmt.Errorf("query agent: %w", err)
	}
	parts := map[string]string{"version": self.Config.Version, "dc": self.Config.Datacenter, "node": self.Config.NodeName}
	ext := filepath.Ext(name)
	base := strings.TrimSuffix(name, ext)
	for p := range strings.SplitSeq(c.append, ",") {
		v, ok := parts[strings.TrimSpace(p)]
		if !ok {
			return "", fmt.Errorf("-append-filename %q: use version, dc and node", p)
		}
		base += "-" + v
	}
	return base + ext, nil
}

// storeSnapshot writes to a temporary file, checks it, and renames it.
func storeSnapshot(name string, r io.Reader) (*snapshotInfo, error) {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".snapshot-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if _, err := io.Copy(tmp, r); err != nil {
		return nil, err
	}
	if err := tmp.Sync(); err != nil {
		return nil, err
	}
	info, err := readSnapshot(tmp.Name())
	if err != nil {
		return nil, fmt.Errorf("what the agent sent: %w", err)
	}
	return info, os.Rename(tmp.Name(), name)
}

type snapshotRestore struct{ client clientFlags }

func (c *snapshotRestore) flags(f *flagSet) {
	f.http(&c.client)
	f.StringVar(&c.client.datacenter, "datacenter", "", "datacenter to restore; empty is the agent's own")
}

func (c *snapshotRestore) run(e *env, args []string) int {
	if len(args) != 1 {
		return e.errorf("Error: snapshot restore needs one FILE")
	}
	cl, err := e.client(&c.client)
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	if _, err := readSnapshot(args[0]); err != nil {
		return e.errorf("Error: %v", err)
	}
	f, err := os.Open(args[0])
	if err != nil {
		return e.errorf("Error opening snapshot: %v", err)
	}
	defer f.Close()
	body := e.progress("Restoring", bufio.NewReader(f))
	resp, err := cl.open(e.ctx, http.MethodPut, "/v1/snapshot", nil, body)
	body.done()
	if err != nil {
		return e.errorf("Error restoring snapshot: %v", err)
	}
	resp.Body.Close()
	e.printf("Restored snapshot")
	return 0
}
