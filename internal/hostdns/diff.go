package hostdns

import (
	"fmt"
	"strings"
)

// diff shows how a file changes, line by line.
func diff(path string, before, after Entry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s%s\n+++ %s%s\n", path, describe(before), path, describe(after))
	for _, line := range diffLines(lines(before), lines(after)) {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// describe says what diff's lines cannot.
func describe(e Entry) string {
	switch e.Kind {
	case absent:
		return " (absent)"
	case symlink:
		return " -> " + e.Target
	}
	return ""
}

func lines(e Entry) []string {
	text := strings.TrimSuffix(string(e.Data), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// diffLines is the longest common subsequence with what is taken out and put in. The files are
// short: a table of all pairs is fine; of longer ones only the sizes are shown.
func diffLines(a, b []string) []string {
	if len(a)*len(b) > 1<<22 {
		return []string{fmt.Sprintf("-(%d lines)", len(a)), fmt.Sprintf("+(%d lines)", len(b))}
	}
	n := make([][]int, len(a)+1)
	for i := range n {
		n[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				n[i][j] = n[i+1][j+1] + 1
			} else {
				n[i][j] = max(n[i+1][j], n[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, " "+a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && n[i+1][j] >= n[i][j+1]:
			out = append(out, "-"+a[i])
			i++
		default:
			out = append(out, "+"+b[j])
			j++
		}
	}
	return out
}
