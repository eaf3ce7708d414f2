package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/testutil"
)

func TestKV(t *testing.T) {
	s := newFakeStore(t)
	file := filepath.Join(t.TempDir(), "value")
	testutil.NoError(t, os.WriteFile(file, []byte("from a file"), 0o600))
	for _, x := range []struct {
		args   []string
		stdin  string
		status int
		out    string
		err    string
	}{
		{[]string{"kv", "put", "app/a", "one"}, "", 0, "Success! Data written to: app/a\n", ""},
		{[]string{"kv", "get", "app/a"}, "", 0, "one\n", ""},
		{[]string{"kv", "get", "/app/a"}, "", 0, "one\n", `Warning: the leading / of "/app/a" is removed`},
		{[]string{"kv", "get", "-base64", "app/a"}, "", 0, "b25l\n", ""},
		{[]string{"kv", "get", "nope"}, "", 1, "", "Error! No key exists at: nope"},
		{[]string{"kv", "get"}, "", 1, "", "Error! Missing KEY argument"},
		{[]string{"kv", "put", "-base64", "app/b b", "dHdv"}, "", 0, "Success! Data written to: app/b b\n", ""},
		{[]string{"kv", "put", "app/c", "@" + file}, "", 0, "Success! Data written to: app/c\n", ""},
		{[]string{"kv", "put", "-flags", "42", "app/d", "-"}, "from stdin", 0, "Success! Data written to: app/d\n", ""},
		{[]string{"kv", "get", "-recurse", "app/"}, "", 0, "app/a:one\napp/b b:two\napp/c:from a file\napp/d:from stdin\n", ""},
		{[]string{"kv", "get", "-keys", "app/"}, "", 0, "app/a\napp/b b\napp/c\napp/d\n", ""},
		{[]string{"kv", "put", "-cas", "app/a", "x"}, "", 1, "", "Error! Did not write to app/a: CAS performed with index=0 and key already exists."},
		{[]string{"kv", "put", "-cas", "-modify-index", "99", "app/a", "x"}, "", 1, "", "Error! Did not write to app/a: CAS failed"},
		{[]string{"kv", "put", "-acquire", "l"}, "", 1, "", "Error! Missing -session (required with -acquire and -release)"},
		{[]string{"kv", "put", "-acquire", "-session", "s1", "l"}, "", 0, "Success! Lock acquired on: l\n", ""},
		{[]string{"kv", "put", "-acquire", "-session", "s2", "l"}, "", 1, "", "Error! Did not acquire lock"},
		{[]string{"kv", "put", "-release", "-session", "s1", "l"}, "", 0, "Success! Lock released on: l\n", ""},
		{[]string{"kv", "put", "-release", "-session", "s1", "l"}, "", 1, "", "Error! Did not release lock"},
		{[]string{"kv", "delete", "-cas", "app/a"}, "", 1, "", "Cannot use -cas without also specifying -modify-index"},
		{[]string{"kv", "delete", "-cas", "-modify-index", "99", "app/a"}, "", 1, "", "CAS failed"},
		{[]string{"kv", "delete", "app/a"}, "", 0, "Success! Deleted key: app/a\n", ""},
		{[]string{"kv", "export", "app/d"}, "", 0, "[\n\t{\n\t\t\"key\": \"app/d\",\n\t\t\"flags\": 42,\n\t\t\"value\": \"ZnJvbSBzdGRpbg==\"\n\t}\n]\n", ""},
		{[]string{"kv", "delete", "-recurse", "app/"}, "", 0, "Success! Deleted keys with prefix: app/\n", ""},
		{[]string{"kv", "import", "-prefix", "copy/", "-"}, `[{"key":"a//b","flags":0,"value":"b25l"},{"key":"a/../b","flags":0,"value":""}]`, 0, "Imported: copy/a//b\nImported: copy/a/../b\n", ""},
		{[]string{"kv", "import", "-prefix", "copy", "-"}, `[{"key":"a","flags":1,"value":"b25l"},{"key":"d/","flags":0,"value":""}]`, 0, "Imported: copy/a\nImported: copy/d/\n", ""},
		{[]string{"kv", "get", "copy/a"}, "", 0, "one\n", ""},
		{[]string{"kv", "import", "[\n{]"}, "", 1, "", "Error! Cannot read the data: line 2: "},
		{[]string{"kv", "export", "none"}, "", 0, "[]\n", ""},
	} {
		r := s.run(t, x.stdin, x.args...)
		if r.status != x.status || r.stdout != x.out || !strings.Contains(r.stderr, x.err) || x.err == "" && r.stderr != "" {
			t.Errorf("%q: %d, %q, %q\nwant %d, %q, %q", x.args, r.status, r.stdout, r.stderr, x.status, x.out, x.err)
		}
	}
	r := s.run(t, "", "kv", "get", "-detailed", "copy/a")
	for _, want := range []string{"Key          copy/a\n", "Flags        1\n", "Session      -\n", "Value        one\n"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is missing in\n%s", want, r.stdout)
		}
	}
}
