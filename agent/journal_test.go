package agent

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"berth/internal/testutil"
)

func openTest(t *testing.T, path string) *journal {
	t.Helper()
	j, err := openJournal(path, true, slog.New(slog.DiscardHandler))
	testutil.NoError(t, err)
	return j
}

func content(j *journal) string {
	var b strings.Builder
	j.entries(func(k string, v []byte) { fmt.Fprintf(&b, "%s=%s ", k, v) })
	return strings.TrimSpace(b.String())
}

func TestJournal_Reopen_HasWhatWasCommitted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x", "journal")
	j := openTest(t, path)
	testutil.NoError(t, j.set("a", 1))
	testutil.NoError(t, j.set("b", "zwei\n"))
	testutil.NoError(t, j.set("a", 3))
	testutil.NoError(t, j.commit())
	j.remove("b")
	j.remove("never there")
	testutil.NoError(t, j.commit())
	testutil.NoError(t, j.set("lost", 1)) // not committed: as if killed now
	testutil.Equal(t, content(openTest(t, path)), "a=3")
	st, err := os.Stat(path)
	testutil.NoError(t, err)
	testutil.Equal(t, st.Mode().Perm(), os.FileMode(0o600)) // it may hold tokens
}

func TestJournal_Damage_IsSetAside(t *testing.T) {
	for _, tc := range []struct {
		name   string
		damage func([]byte) []byte
		want   string
		aside  int
	}{
		{"unfinished last record", func(b []byte) []byte { return b[:len(b)-5] }, "a=1 b=2", 0},
		{"flipped bit", func(b []byte) []byte { b[len(journalHeader)+14] ^= 1; return b }, "b=2 c=3", 1},
		{"zeros", func([]byte) []byte { return make([]byte, 100) }, "", 1},
		{"other version", func(b []byte) []byte { return append([]byte("berth-journal 9\n"), b[16:]...) }, "", 1},
		{"empty file", func([]byte) []byte { return nil }, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			j := openTest(t, path)
			for i, k := range []string{"a", "b", "c"} {
				testutil.NoError(t, j.set(k, i+1))
			}
			testutil.NoError(t, j.close())
			b, err := os.ReadFile(path)
			testutil.NoError(t, err)
			testutil.NoError(t, os.WriteFile(path, tc.damage(b), 0o600))
			j = openTest(t, path)
			testutil.Equal(t, content(j), tc.want)
			aside, err := filepath.Glob(path + ".corrupt-*")
			testutil.NoError(t, err)
			testutil.Equal(t, len(aside), tc.aside)
			testutil.NoError(t, j.set("d", 4))
			testutil.NoError(t, j.close())
			testutil.Equal(t, content(openTest(t, path)), strings.TrimSpace(tc.want+" d=4"))
		})
	}
}

func TestJournal_FailedWrite_IsMadeGoodByTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := openTest(t, path)
	testutil.NoError(t, j.set("a", 1))
	testutil.NoError(t, j.commit())
	j.file.Close() // the disk fails
	testutil.NoError(t, j.set("b", 2))
	if err := j.commit(); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("commit to a failing disk: %v", err)
	}
	if !j.pending() {
		t.Fatal("nothing pending after a failed write")
	}
	testutil.NoError(t, j.set("c", 3))
	testutil.NoError(t, j.commit())
	testutil.Equal(t, content(openTest(t, path)), "a=1 b=2 c=3")
}

func TestJournal_Compaction_BoundsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := openTest(t, path)
	for i := range 4000 {
		testutil.NoError(t, j.set(fmt.Sprint("k", i%10), strings.Repeat("x", 1000)))
		if i%50 == 0 {
			testutil.NoError(t, j.commit())
		}
	}
	testutil.NoError(t, j.close())
	st, err := os.Stat(path)
	testutil.NoError(t, err)
	if st.Size() > 2*compactBytes {
		t.Fatalf("journal with 10 records has %d bytes", st.Size())
	}
	n := 0
	openTest(t, path).entries(func(string, []byte) { n++ })
	testutil.Equal(t, n, 10)
}

func TestJournal_Commit_Concurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := openTest(t, path)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 50 {
				if err := j.set(fmt.Sprintf("%d-%d", w, i), i); err != nil {
					t.Error(err)
				}
				if err := j.commit(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	n := 0
	openTest(t, path).entries(func(string, []byte) { n++ }) // not closed before: killed
	testutil.Equal(t, n, 800)
}

// Whatever is in the file: opening it does not fail, and opening it again changes nothing.
func FuzzJournal_Open(f *testing.F) {
	f.Add([]byte(journalHeader))
	f.Add([]byte("berth-journal 2\n"))
	line, err := encodeLine("service:web", []byte(`{"Name":"web"}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte(journalHeader), line...))
	f.Add(append([]byte(journalHeader), line[:20]...))
	f.Add([]byte(journalHeader + "00000000 {}\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		testutil.NoError(t, os.WriteFile(path, data, 0o600))
		first := openTest(t, path)
		got := content(first)
		testutil.NoError(t, first.close())
		again := openTest(t, path)
		testutil.Equal(t, content(again), got)
		testutil.NoError(t, again.close())
		aside, err := filepath.Glob(path + ".corrupt-*")
		testutil.NoError(t, err)
		if len(aside) > 1 {
			t.Fatal("a repaired journal was found damaged again")
		}
	})
}
