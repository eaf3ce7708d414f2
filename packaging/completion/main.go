// Command completion writes shell completions from what `berth` itself says of its commands: the
// manual page names them, -help of each lists its options.
//
//	completion -berth bin/berth bash|zsh|fish
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// command is one command: the words that select it, what it does and its options.
type command struct {
	words   string // "kv put"
	help    string
	options []option
}

type option struct{ name, help string }

func main() {
	berth := flag.String("berth", "bin/berth", "the program to ask")
	flag.Parse()
	write := map[string]func([]command) string{"bash": bash, "zsh": zsh, "fish": fish}[flag.Arg(0)]
	if write == nil || flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: completion [-berth FILE] bash|zsh|fish")
		os.Exit(2)
	}
	all, err := commandsOf(*berth)
	if err != nil {
		fmt.Fprintln(os.Stderr, "completion:", err)
		os.Exit(1)
	}
	fmt.Print(write(all))
}

var (
	manCommand = regexp.MustCompile(`^\.SS "berth ([a-z\\ -]+?)(?: \[| <|")`)
	helpOption = regexp.MustCompile(`(?m)^  -([A-Za-z0-9_-]+)\n      (.*)$`)
)

// commandsOf asks the program for all its commands and their options.
func commandsOf(berth string) ([]command, error) {
	man, err := exec.Command(berth, "docs", "man").Output()
	if err != nil {
		return nil, fmt.Errorf("%s docs man: %w", berth, err)
	}
	var all []command
	lines := strings.Split(string(man), "\n")
	for i, line := range lines {
		m := manCommand.FindStringSubmatch(line)
		if m == nil || i+1 == len(lines) {
			continue
		}
		c := command{words: plain(m[1]), help: strings.TrimSuffix(plain(lines[i+1]), ".")}
		help, err := exec.Command(berth, append(strings.Fields(c.words), "-help")...).Output()
		if err != nil {
			return nil, fmt.Errorf("%s %s -help: %w", berth, c.words, err)
		}
		for _, o := range helpOption.FindAllSubmatch(help, -1) {
			c.options = append(c.options, option{string(o[1]), string(o[2])})
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("the manual page names no command")
	}
	return all, nil
}

// plain takes roff's escapes out.
func plain(s string) string {
	return strings.NewReplacer(`\-`, "-", `\e`, `\`, `\&`, "").Replace(s)
}

// next lists what may follow the words, each once: next words of longer commands.
func next(all []command, words string) []string {
	var list []string
	for _, c := range all {
		rest, ok := strings.CutPrefix(c.words, words)
		if !ok || rest == "" || (words != "" && rest[0] != ' ') {
			continue
		}
		list = append(list, strings.Fields(rest)[0])
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// prefixes is "", every command, and every word that only groups commands.
func prefixes(all []command) []string {
	list := []string{""}
	for _, c := range all {
		words := strings.Fields(c.words)
		for i := range words {
			list = append(list, strings.Join(words[:i+1], " "))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func find(all []command, words string) command {
	if i := slices.IndexFunc(all, func(c command) bool { return c.words == words }); i >= 0 {
		return all[i]
	}
	return command{words: words}
}

func bash(all []command) string {
	var b bytes.Buffer
	b.WriteString("# bash completion of berth\n_berth() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} words= w i\n" +
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n\t\tw=${COMP_WORDS[i]}\n\t\t[[ $w == -* ]] && break\n" +
		"\t\twords=\"${words:+$words }$w\"\n\tdone\n\tlocal next= options=\n\tcase $words in\n")
	for _, p := range prefixes(all) {
		var options []string
		for _, o := range find(all, p).options {
			options = append(options, "-"+o.name)
		}
		fmt.Fprintf(&b, "\t%q) next=%q options=%q ;;\n", p, strings.Join(next(all, p), " "), strings.Join(options, " "))
	}
	b.WriteString("\tesac\n\tif [[ $cur == -* ]]; then\n\t\tmapfile -t COMPREPLY < <(compgen -W \"$options -help\" -- \"$cur\")\n" +
		"\telif [[ -n $next ]]; then\n\t\tmapfile -t COMPREPLY < <(compgen -W \"$next\" -- \"$cur\")\n" +
		"\telse\n\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n\tfi\n}\ncomplete -F _berth berth\n")
	return b.String()
}

// quote is a text in single quotes for zsh and fish, without what _describe or _arguments read.
func quote(s string) string {
	s = strings.NewReplacer("'", "’", "[", "(", "]", ")", ":", ",", `\`, "").Replace(s)
	return "'" + s + "'"
}

func zsh(all []command) string {
	var b bytes.Buffer
	b.WriteString("#compdef berth\n_berth() {\n\tlocal words_so_far= w i\n\tlocal -a next options\n" +
		"\tfor ((i = 2; i < CURRENT; i++)); do\n\t\tw=${words[i]}\n\t\t[[ $w == -* ]] && break\n" +
		"\t\twords_so_far=\"${words_so_far:+$words_so_far }$w\"\n\tdone\n\tcase $words_so_far in\n")
	for _, p := range prefixes(all) {
		var list, options []string
		for _, n := range next(all, p) {
			list = append(list, "'"+n+":"+quote(find(all, strings.TrimSpace(p+" "+n)).help)[1:])
		}
		for _, o := range find(all, p).options {
			options = append(options, "'-"+o.name+":"+quote(o.help)[1:])
		}
		fmt.Fprintf(&b, "\t%q) next=(%s) options=(%s) ;;\n", p, strings.Join(list, " "), strings.Join(options, " "))
	}
	b.WriteString("\tesac\n\tif [[ $PREFIX == -* ]]; then\n\t\toptions+=('-help:show the options')\n\t\t_describe option options -o\n" +
		"\telif (( $#next )); then\n\t\t_describe command next\n\telse\n\t\t_files\n\tfi\n}\n_berth \"$@\"\n")
	return b.String()
}

func fish(all []command) string {
	var b bytes.Buffer
	b.WriteString("# fish completion of berth\nfunction __berth_at\n\tset -l so_far\n\tfor w in (commandline -opc)[2..]\n" +
		"\t\tstring match -q -- '-*' $w; and break\n\t\tset -a so_far $w\n\tend\n\ttest \"$so_far\" = \"$argv\"\nend\n")
	for _, p := range prefixes(all) {
		at := fmt.Sprintf("complete -c berth -n '__berth_at %s'", p)
		for _, n := range next(all, p) {
			fmt.Fprintf(&b, "%s -f -a %s -d %s\n", at, n, quote(find(all, strings.TrimSpace(p+" "+n)).help))
		}
		for _, o := range find(all, p).options {
			fmt.Fprintf(&b, "%s -o %s -d %s\n", at, o.name, quote(o.help))
		}
	}
	return b.String()
}
