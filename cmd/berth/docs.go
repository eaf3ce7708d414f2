package main

import (
	"fmt"
	"strings"

	"berth/internal/config"
)

var docsSpecs = []spec{
	{name: "docs config", synopsis: "Print the reference of the configuration as Markdown", make: func() action { return new(docsConfig) }},
	{name: "docs man", synopsis: "Print the manual page", make: func() action { return new(docsMan) }},
}

type docsConfig struct{}

func (c *docsConfig) flags(*flagSet) {}

func (c *docsConfig) run(e *env, _ []string) int {
	fmt.Fprint(e.stdout, config.Reference())
	return 0
}

type docsMan struct{}

func (c *docsMan) flags(*flagSet) {}

func (c *docsMan) run(e *env, _ []string) int {
	fmt.Fprint(e.stdout, manual())
	return 0
}

// manual is berth(1) in man's format.
func manual() string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH BERTH 1 \"\" \"berth %s\"\n", version)
	b.WriteString(".SH NAME\nberth \\- service discovery for Docker hosts\n.SH SYNOPSIS\n.B berth\ncommand [options] [arguments]\n.SH COMMANDS\n")
	for _, s := range specs() {
		if strings.HasPrefix(s.name, "docs") {
			continue
		}
		fmt.Fprintf(&b, ".SS \"berth %s\"\n%s.\n", roff(usageLine(s)), roff(s.synopsis))
		if s.help != "" {
			fmt.Fprintf(&b, ".PP\n%s\n", roff(s.help))
		}
		for _, o := range optionsOf(newFlagSet(s.name, s.make())) {
			fmt.Fprintf(&b, ".TP\n.B \\-%s\n%s\n", roff(o.name), roff(o.usage))
		}
	}
	b.WriteString(".SH ENVIRONMENT\nEvery configuration key has a variable BERTH_<KEY>; the commands read BERTH_HTTP_ADDR and its like, then CONSUL_HTTP_ADDR and its like.\n")
	b.WriteString(".SH SEE ALSO\ndocs/config.md, docs/labels.md, docs/dns.md, docs/http-api.md\n")
	return b.String()
}

// roff escapes text for man.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// option is a flag as the manual shows it.
type option struct{ name, usage string }

// optionsOf lists a command's own flags; those of all client commands are left out.
func optionsOf(fs *flagSet) []option {
	var list []option
	fs.VisitAll(func(f *flagInfo) {
		if fs.client == nil || !isClientFlag(f.Name) {
			list = append(list, option{f.Name, f.Usage})
		}
	})
	return list
}
