//go:build e2e

// Package docs runs the commands of the user's pages, in order, as a reader would, and the
// demonstrations.
//
// A fenced block with the words `sh run` is run once and must succeed; `sh look` is run again
// until its output is what the following `output` block says, with `...` for anything; `sh agent`
// is a command that goes on running, as in a terminal of its own; `sh fails` must fail. A `yaml` or
// `json` block is a configuration that must validate. Other blocks with `sh` are refused.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/dockertest"
	"berth/internal/testutil"
)

// root is the repository's.
const root = "../.."

// block is one fenced block of a page.
type block struct {
	line int
	kind string // what stands behind the fence
	text string
}

// blocks reads the fenced blocks of a page.
func blocks(t *testing.T, page string) []block {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, page))
	testutil.NoError(t, err)
	var list []block
	var open *block
	for i, line := range strings.Split(string(raw), "\n") {
		kind, fence := strings.CutPrefix(line, "```")
		switch {
		case open == nil && fence:
			open = &block{line: i + 1, kind: kind}
		case open != nil && fence:
			list = append(list, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: the block does not end", page, open.line)
	}
	return list
}

// commands is how many commands a block has: lines, without those that go on or only close.
func (b block) commands() int {
	n := 0
	goesOn := false
	for line := range strings.Lines(b.text) {
		line = strings.TrimSpace(line)
		if line != "" && !goesOn && !strings.HasPrefix(line, "#") {
			n++
		}
		goesOn = strings.HasSuffix(line, `\`)
	}
	return n
}

// pattern is what output must match: `...` is anything within a line, with the blanks around it, a line of
// only `...` is any number of lines, and blanks are all alike.
func pattern(want string) *regexp.Regexp {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(want)) {
		line = strings.Join(strings.Fields(line), " ")
		if line == "..." {
			b.WriteString(`(.*\n)*`)
			continue
		}
		parts := strings.Split(line, "...")
		for i, p := range parts {
			parts[i] = regexp.QuoteMeta(strings.TrimSpace(p))
		}
		b.WriteString(strings.Join(parts, ".*") + `\n`)
	}
	return regexp.MustCompile("^" + b.String() + "$")
}

// squeezed is text with single blanks, and each line ended.
func squeezed(s string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(s)) {
		b.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return b.String()
}

// ran counts the commands of all pages.
var ran atomic.Int32

// read runs the blocks of a page in a shell.
func read(t *testing.T, page string, list []block, sh *shell) {
	t.Helper()
	count := 0
	for i, b := range list {
		at := fmt.Sprintf("%s:%d", page, b.line)
		out, err := "", error(nil)
		switch b.kind {
		case "sh run":
			out, err = sh.run(b.text)
		case "sh fails":
			if out, err = sh.run(b.text); err == nil {
				t.Fatalf("%s: it does not fail:\n%s", at, out)
			}
			err = nil
		case "sh agent":
			sh.background(b.text)
		case "sh look":
			if i+1 == len(list) || list[i+1].kind != "output" {
				t.Fatalf("%s: no output block follows", at)
			}
			sh.look(at, b.text, list[i+1].text)
		default:
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", at, err, out)
		}
		count += b.commands()
	}
	ran.Add(int32(count))
	t.Logf("%s: %d commands ran", page, count)
}

// generated pages, and those for developers: nothing to run there.
var notRead = []string{"docs/config.md", "docs/http-api.md", "docs/architecture.md", "docs/decisions"}

// pages are the README and all that lies below docs, for users.
func pages(t *testing.T) []string {
	t.Helper()
	list := []string{"README.md"}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		if slices.Contains(notRead, rel) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return err
		}
		if err == nil && filepath.Ext(path) == ".md" {
			list = append(list, rel)
		}
		return err
	})
	testutil.NoError(t, err)
	return list
}

// Each page is read on a host of its own, with an engine of its own where it speaks of containers.
// The recipes' stacks run on this machine's engine: TestStacks reads them.
func TestPages_EveryCommandWorks(t *testing.T) {
	dockertest.Require(t)
	requireBinary(t)
	began := time.Now()
	count := 0
	t.Run("pages", func(t *testing.T) {
		for _, page := range pages(t) {
			list := blocks(t, page)
			refuseOthers(t, page, list)
			if !slices.ContainsFunc(list, func(b block) bool { return strings.HasPrefix(b.kind, "sh ") }) || strings.HasPrefix(page, "docs/recipes/") {
				continue
			}
			count++
			t.Run(page, func(t *testing.T) {
				t.Parallel()
				read(t, page, list, newHost(t, list))
			})
		}
	})
	t.Logf("%d pages read in %v", count, time.Since(began).Round(time.Second))
}

// kinds are what may stand behind a fence.
var kinds = []string{"", "output", "yaml", "json", "nginx", "go", "sh run", "sh look", "sh agent", "sh fails"}

// refuseOthers makes sure that no block of commands is left out, and that no plain block holds some.
func refuseOthers(t *testing.T, page string, list []block) {
	t.Helper()
	for _, b := range list {
		if !slices.Contains(kinds, b.kind) {
			t.Errorf("%s:%d: a block of %q is not run: say one of %q", page, b.line, b.kind, kinds)
		}
		if first, _, _ := strings.Cut(b.text, " "); b.kind == "" && slices.Contains([]string{"berth", "docker", "make", "curl", "dig", "sudo", "$"}, first) {
			t.Errorf("%s:%d: a block without a kind begins with the command %s, which nobody runs", page, b.line, first)
		}
	}
}

// The examples of configuration are what an agent takes.
func TestPages_EveryConfigurationValidates(t *testing.T) {
	requireBinary(t)
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if b.kind != "yaml" && b.kind != "json" {
				continue
			}
			file := filepath.Join(t.TempDir(), "berth."+b.kind)
			testutil.NoError(t, os.WriteFile(file, []byte(b.text), 0o600))
			if out, err := exec.Command(filepath.Join(root, "bin/berth"), "validate", file).CombinedOutput(); err != nil {
				t.Errorf("%s:%d: %v: %s\n%s", page, b.line, err, out, b.text)
			}
		}
	}
}

// A setting that a page about DNS or security names is one of the reference.
func TestPages_SettingsExist(t *testing.T) {
	settings, err := os.ReadFile(filepath.Join(root, "docs/config.md"))
	testutil.NoError(t, err)
	known := map[string]bool{
		"accepted_payload_size": true, "last_known": true, "group_add": true, // HAProxy's, a value, and Docker's
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_.*]+)`").FindAllSubmatch(settings, -1) {
		path := strings.Split(string(m[1]), ".")
		for i := range path {
			known[strings.Join(path[i:], ".")] = true
			known[strings.Join(path[:i+1], ".")] = true
		}
	}
	for _, page := range []string{"docs/dns.md", "docs/security.md", "docs/clusters.md", "docs/migration-dnsmasq.md"} {
		text, err := os.ReadFile(filepath.Join(root, page))
		testutil.NoError(t, err)
		for _, m := range regexp.MustCompile("`([a-z]+(?:[_.][a-z0-9]+)*_[a-z0-9_.]*[a-z0-9])[:`]").FindAllSubmatch(text, -1) {
			if key := string(m[1]); !known[key] {
				t.Errorf("%s names the setting %s, which docs/config.md does not have", page, key)
			}
		}
	}
}

// The index in the README has every page.
func TestPages_AreInTheREADME(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	testutil.NoError(t, err)
	for _, page := range append(pages(t), notRead...) {
		if page != "README.md" && !strings.Contains(string(text), "("+page) {
			t.Errorf("README.md does not name %s", page)
		}
	}
}

// Links between pages lead somewhere.
func TestPages_LinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, page := range append(pages(t), "docs/architecture.md", "docs/config.md", "docs/http-api.md", "packaging/ansible/README.md", "CONTRIBUTING.md") {
		text, err := os.ReadFile(filepath.Join(root, page))
		testutil.NoError(t, err)
		for _, m := range link.FindAllSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(page), string(m[1]))); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, m[1])
			}
		}
	}
}

func requireBinary(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, "bin/berth")); err != nil {
		t.Fatalf("run `make build` first: %v", err)
	}
}
