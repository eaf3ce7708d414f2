// Package arch holds no code: its tests keep the shape of the tree that docs/architecture.md
// describes.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// components may import the root package, internal and their own sub-packages only.
var components = []string{"registrator", "agent", "store", "dnsproxy", "httpapi"}

// confined names the only places (folder, or folder/file.go) where a module may be imported.
var confined = map[string][]string{
	"github.com/docker/docker":            {"registrator/engine.go", "agent/check/docker.go"},
	"github.com/hashicorp/raft":           {"store", "store/fsm"},
	"github.com/hashicorp/raft-wal":       {"store"},
	"github.com/hashicorp/raft-autopilot": {"store"},
	"github.com/hashicorp/go-memdb":       {"store", "store/state", "store/fsm"},
	"github.com/hashicorp/serf":           {"store/gossip"},
	"github.com/hashicorp/memberlist":     {"store/gossip"},
	"github.com/hashicorp/go-msgpack/v2":  {"store", "store/command", "store/fsm", "store/state"},
	"github.com/hashicorp/go-bexpr":       {"httpapi"},
	"github.com/hashicorp/cli":            {"cmd/berth"},
	"github.com/miekg/dns":                {"dnsproxy", "cmd/berth/resolve.go"},
	"gopkg.in/yaml.v3":                    {"internal/config"},
	"github.com/hashicorp/go-sockaddr":    {"internal/config"},
	"google.golang.org/grpc":              {"agent/check"},
	"github.com/prometheus/client_golang": {"cmd/berth", "httpapi", "internal/metrics"},
}

type source struct {
	dir, file string // folder and path, relative to the root
	ast       *ast.File
	fset      *token.FileSet
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") && rel != "." || d.Name() == "testdata" || rel == "test/compat" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") || rel == "internal/deps.go" {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{filepath.Dir(rel), rel, f, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func imports(s source) []string {
	var paths []string
	for _, i := range s.ast.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		paths = append(paths, p)
	}
	return paths
}

func within(path, prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }

func TestImports_SiblingsDoNotMeet(t *testing.T) {
	for _, s := range sources(t) {
		own := strings.Split(s.dir, "/")[0]
		if !slices.Contains(components, own) {
			continue
		}
		for _, p := range imports(s) {
			if !within(p, "berth") || p == "berth" || within(p, "berth/internal") || within(p, "berth/"+own) {
				continue
			}
			t.Errorf("%s imports %s: components meet only in cmd/berth, declare an interface instead", s.file, p)
		}
	}
}

func TestImports_RootIsPlain(t *testing.T) {
	for _, s := range sources(t) {
		if s.dir != "." {
			continue
		}
		for _, p := range imports(s) {
			if strings.Contains(strings.Split(p, "/")[0], ".") || within(p, "berth") {
				t.Errorf("%s imports %s: the root package uses the standard library only", s.file, p)
			}
		}
	}
}

func TestImports_ModulesAreConfined(t *testing.T) {
	for _, s := range sources(t) {
		if within(s.dir, "test") {
			continue
		}
		for _, p := range imports(s) {
			for module, places := range confined {
				if within(p, module) && !slices.ContainsFunc(places, func(place string) bool {
					return s.file == place || within(s.dir, place)
				}) {
					t.Errorf("%s imports %s, which belongs into %s", s.file, p, strings.Join(places, ", "))
				}
			}
		}
	}
}

func TestSizes(t *testing.T) {
	for _, s := range sources(t) {
		if n := s.fset.File(s.ast.Pos()).LineCount(); n > 700 {
			t.Errorf("%s has %d lines, 700 is the limit: split it by topic", s.file, n)
		}
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line
			if n > 100 {
				t.Errorf("%s: %s has %d lines, 100 is the limit", s.file, f.Name.Name, n)
			}
		}
	}
}

func TestExitOnlyInMain(t *testing.T) {
	for _, s := range sources(t) {
		if s.ast.Name.Name == "main" || within(s.dir, "test") {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if ok && (pkg.Name == "os" && sel.Sel.Name == "Exit" || pkg.Name == "log" && strings.HasPrefix(sel.Sel.Name, "Fatal")) {
				t.Errorf("%s: %s.%s: return an error, only a main package ends the process", s.fset.Position(n.Pos()), pkg.Name, sel.Sel.Name)
			}
			return true
		})
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		documented[s.dir] = documented[s.dir] || s.ast.Doc != nil
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package in %s has no package comment", dir)
		}
	}
}
