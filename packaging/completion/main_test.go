package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/testutil"
)

// fake answers as berth does, for two commands.
const fake = `#!/bin/sh
case "$*" in
"docs man") printf '.SS "berth kv put [options] KEY [DATA]"\nWrite a key.\n.SS "berth force\\-leave [options] NODE"\nForget it.\n' ;;
"kv put -help") printf 'Usage: berth kv put\n\nOptions:\n\n  -cas\n      write only if unchanged\n  -flags\n      a number (default 0)\n' ;;
"force-leave -help") printf 'Usage: berth force-leave\n' ;;
*) exit 1 ;;
esac
`

func fakeCommands(t *testing.T) []command {
	t.Helper()
	file := filepath.Join(t.TempDir(), "berth")
	testutil.NoError(t, os.WriteFile(file, []byte(fake), 0o755))
	all, err := commandsOf(file)
	testutil.NoError(t, err)
	return all
}

func TestCommandsOf_ReadsWhatBerthSays(t *testing.T) {
	testutil.Equal(t, fakeCommands(t), []command{
		{"kv put", "Write a key", []option{{"cas", "write only if unchanged"}, {"flags", "a number (default 0)"}}},
		{"force-leave", "Forget it", nil},
	})
	if _, err := commandsOf("/nonexistent/berth"); err == nil || !strings.Contains(err.Error(), "/nonexistent/berth") {
		t.Errorf("error %v, want one that names the program", err)
	}
}

func TestBash_Completes(t *testing.T) {
	script := bash(fakeCommands(t))
	for line, want := range map[string]string{
		"berth ":              "force-leave kv",
		"berth k":             "kv",
		"berth kv ":           "put",
		"berth kv put -c":     "-cas",
		"berth force-leave -": "-help",
	} {
		words := strings.Split(line, " ")
		quoted := "'" + strings.Join(words, "' '") + "'"
		out, err := exec.Command("bash", "-c", script+"\nCOMP_WORDS=("+quoted+"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _berth; echo \"${COMPREPLY[*]}\"").CombinedOutput()
		testutil.NoError(t, err)
		if got := strings.TrimSpace(string(out)); got != want {
			t.Errorf("%q completes to %q, want %q", line, got, want)
		}
	}
}

func TestZshAndFish_NameEveryCommandAndOption(t *testing.T) {
	all := fakeCommands(t)
	for _, text := range []string{zsh(all), fish(all)} {
		for _, want := range []string{"force-leave", "put", "cas", "write only if unchanged"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in:\n%s", want, text)
			}
		}
	}
}
