package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"berth/store/fsm"
)

type snapshotInspect struct {
	format    string
	kvDetails bool
	kvDepth   int
	kvFilter  string
}

func (c *snapshotInspect) flags(f *flagSet) {
	f.StringVar(&c.format, "format", "pretty", "pretty or json")
	f.BoolVar(&c.kvDetails, "kvdetails", false, "also count the keys by their first parts")
	f.IntVar(&c.kvDepth, "kvdepth", 2, "with -kvdetails: how many parts")
	f.StringVar(&c.kvFilter, "kvfilter", "", "with -kvdetails: only keys that begin with this")
}

// snapshotStat counts the rows of one kind, or the keys below one prefix.
type snapshotStat struct {
	Name  string
	Sum   int // bytes
	Count int
}

// snapshotStats is what `snapshot inspect -format json` prints.
type snapshotStats struct {
	Meta        *snapshotInfo
	Stats       []snapshotStat
	StatsKV     []snapshotStat `json:",omitempty"`
	TotalSize   int
	TotalSizeKV int `json:",omitempty"`
}

func (c *snapshotInspect) run(e *env, args []string) int {
	if len(args) != 1 {
		return e.errorf("Error: snapshot inspect needs one FILE")
	}
	if c.format != "pretty" && c.format != "json" {
		return e.errorf("Error: -format %q: use pretty or json", c.format)
	}
	out, foreign, err := c.read(args[0])
	if err != nil {
		return e.errorf("Error: %v", err)
	}
	if foreign != nil {
		e.errorf("Warning: what is in it cannot be listed: %v", foreign)
	}
	if c.format == "json" {
		e.printf("%s", indented(out))
		return 0
	}
	e.table([][]string{
		{"ID", out.Meta.ID}, {"Size", fmt.Sprint(out.Meta.Size)}, {"Index", fmt.Sprint(out.Meta.Index)},
		{"Term", fmt.Sprint(out.Meta.Term)}, {"Version", fmt.Sprint(out.Meta.Version)}, {"Checksum", "verified"},
	})
	if foreign == nil {
		e.statsTable("Type", out.Stats, out.TotalSize)
	}
	if c.kvDetails {
		e.statsTable("Key Name", out.StatsKV, out.TotalSizeKV)
	}
	return 0
}

// read counts what is in a snapshot file. foreign says that its rows are not berth's.
func (c *snapshotInspect) read(name string) (out *snapshotStats, foreign, err error) {
	kinds, keys := map[string]*snapshotStat{}, map[string]*snapshotStat{}
	out = new(snapshotStats)
	out.Meta, err = readSnapshotState(name, func(r io.Reader) error {
		err := fsm.Inspect(r, func(row fsm.Row) {
			countRow(kinds, row.Kind, row.Size)
			out.TotalSize += row.Size
			if row.Key != "" && c.kvDetails && strings.HasPrefix(row.Key, c.kvFilter) {
				countRow(keys, c.firstParts(row.Key), row.Size)
				out.TotalSizeKV += row.Size
			}
		})
		if errors.Is(err, fsm.ErrBadSnapshot) {
			foreign, err = err, nil
		}
		return err
	})
	out.Stats, out.StatsKV = bySize(kinds), bySize(keys)
	return out, foreign, err
}

func (c *snapshotInspect) firstParts(key string) string {
	parts := strings.SplitN(key, "/", c.kvDepth+1)
	return strings.Join(parts[:min(len(parts), max(c.kvDepth, 1))], "/")
}

func countRow(stats map[string]*snapshotStat, name string, size int) {
	s := stats[name]
	if s == nil {
		s = &snapshotStat{Name: name}
		stats[name] = s
	}
	s.Sum += size
	s.Count++
}

// bySize sorts the largest first.
func bySize(stats map[string]*snapshotStat) []snapshotStat {
	out := make([]snapshotStat, 0, len(stats))
	for s := range maps.Values(stats) {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b snapshotStat) int {
		return cmp.Or(cmp.Compare(b.Sum, a.Sum), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func (e *env) statsTable(title string, stats []snapshotStat, total int) {
	rows := [][]string{{title, "Count", "Size"}, {"----", "----", "----"}}
	for _, s := range stats {
		rows = append(rows, []string{s.Name, fmt.Sprint(s.Count), byteSize(s.Sum)})
	}
	rows = append(rows, []string{"----", "----", "----"}, []string{"Total", "", byteSize(total)})
	e.printf("")
	e.table(rows)
}

// byteSize is a number of bytes with one decimal: 17B, 1.2KB, 3.4MB.
func byteSize(n int) string {
	if n < 1024 {
		return fmt.Sprintf("%dB", n)
	}
	v, unit := float64(n)/1024, 0
	for v >= 1024 && unit < 3 {
		v, unit = v/1024, unit+1
	}
	return fmt.Sprintf("%.1f%cB", v, "KMGT"[unit])
}
