package hostdns

import (
	"fmt"
	"strings"
)

// There are two programs called resolvconf: Debian's keeps records of interfaces and runs
// the scripts of updateDir; openresolv reads openresolvConf and runs the scripts beside its own.
const (
	resolvconfRecord = "lo.berth"
	updateDir        = "/etc/resolvconf/update.d"
	listRecords      = "/lib/resolvconf/list-records" // only Debian's has it; other packages make updateDir, too
	openresolvConf   = "/etc/resolvconf.conf"
	openresolvHook   = "/lib/resolvconf/berth"
)

// planResolvconf makes resolvconf name berth, a resolver on the loopback, which it puts first.
func (h *Host) planResolvconf(p *plan, o Options, f *facts) error {
	if !o.Address.Addr().IsLoopback() {
		return fmt.Errorf("%w: mode resolvconf needs a loopback address: resolvconf cuts its list only behind one", ErrUsage)
	}
	open, hook := !h.exists(listRecords), updateDir+"/berth"
	if open {
		hook = openresolvHook
	}
	p.upstreams = Entry{Kind: plain, Mode: modeFile, UID: h.uid(), Data: f.stub.upstreams(o.Address.Addr())}
	record := "nameserver " + o.Address.Addr().String() + "\n"
	if o.Search != None {
		record += "search service." + o.Domain + "\n"
	}
	if open {
		record = ""
	}
	if err := h.file(p, hook, []byte(resolvconfHook(record)), Entry{Mode: modeScript}); err != nil {
		return err
	}
	if open {
		return h.planOpenresolv(p, o)
	}
	p.run([]string{"resolvconf", "-a", resolvconfRecord}, []string{"resolvconf", "-d", resolvconfRecord}, record)
	p.lenient()
	if o.Fallback {
		p.notes = append(p.notes, "resolvconf cuts its list behind a loopback address; for --fallback set "+
			"TRUNCATE_NAMESERVER_LIST_AFTER_LOOPBACK_ADDRESS=n in /etc/default/resolvconf")
	}
	if o.Search == Last {
		p.notes = append(p.notes, "resolvconf orders search domains by /etc/resolvconf/interface-order, where lo.* comes first")
	}
	return nil
}

// lenient leaves it to the test whether the program worked: resolvconf fails when any of the
// hooks does, for example that of an unbound that is not running.
func (p *plan) lenient() { p.changes[len(p.changes)-1].Lenient = true }

// planOpenresolv adds to openresolv's configuration; the last assignment of a variable counts.
func (h *Host) planOpenresolv(p *plan, o Options) error {
	conf, err := readEntry(h.path(openresolvConf))
	if err != nil {
		return err
	}
	text := string(conf.Data)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	text += "# Written by `berth host install`.\nname_servers=" + o.Address.Addr().String() + "\n"
	switch o.Search {
	case First:
		text += "search_domains=\"service." + o.Domain + " $search_domains\"\n"
	case Last:
		text += "search_domains_append=\"$search_domains_append service." + o.Domain + "\"\n"
	}
	if o.Fallback {
		text += "resolv_conf_local_only=NO\n"
	}
	update := []string{"resolvconf", "-u"}
	err = h.file(p, openresolvConf, []byte(text), Entry{Mode: modeFile})
	p.run(update, update, "")
	p.lenient()
	return err
}

// resolvconfHook runs whenever a record changes: it brings the servers of the other records
// to berth, and berth's own record, when there is one, back after a boot: records do not
// outlive one.
func resolvconfHook(record string) string {
	keep := ""
	if record != "" {
		file := `"$dir/` + resolvconfRecord + `"`
		keep = "\t[ -s " + file + " ] || printf '" + strings.ReplaceAll(record, "\n", `\n`) + "' >" + file + "\n"
	}
	return `#!/bin/sh
# Written by ` + "`berth host install`" + `.
for dir in /run/resolvconf/interface /run/resolvconf/interfaces; do
	[ -d "$dir" ] || continue
` + keep + `	tmp="` + upstreamsFile + `.$$"
	{
		echo "# The resolvers that berth forwards to; from resolvconf."
		for record in "$dir"/*; do
			case "$record" in */lo.*) continue ;; esac
			[ -f "$record" ] && sed -n 's/^[[:space:]]*nameserver[[:space:]]\{1,\}/nameserver /p' "$record"
		done | awk '!seen[$0]++'
	} >"$tmp"
	if grep -q '^nameserver' "$tmp"; then
		mv -f "$tmp" ` + upstreamsFile + `
	else
		rm -f "$tmp"
	fi
done
exit 0
`
}
