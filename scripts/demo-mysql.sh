#!/usr/bin/env bash
# Drives compose/mysql-failover: the primary is killed, the name moves to the replica; the old
# primary returns as a replica, and is the primary again only when told. Removes all it made.
stack=mysql-failover
. "$(dirname "$0")/stack.sh"

api=http://127.0.0.1:21502
log=$work/dns

container() { docker ps -aq --filter "label=com.docker.compose.project=berth-stack-$stack" --filter "label=com.docker.compose.service=$1"; }
address() { docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$(container "$1")"; }
who() { docker exec "$(container "$1")" /mysqlstub who 127.0.0.1:3306; }
mode() { [ "$(who "$1")" = "$1 $2" ]; }
name_is() { [ "$(tail -n 1 "$log" | cut -d ' ' -f 3)" = "$1" ]; }
healthy() { curl -sf "$api/v1/health/service/mysql?passing" | grep -q "\"$1\""; }
# moved_at ADDRESS: when the name last began to answer that address, in ns.
moved_at() { awk -v a="$1" '$3 == a {t = $2} END {print t}' "$log"; }
seconds() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", (b - a) / 1e9}'; }

step "1. Images: berth, a database stand-in, the failover controller"
scripts/image.sh berth | tail -n 1
scripts/goimage.sh berth-mysqlstub ./test/mysqlstub
scripts/goimage.sh berth-failover ./compose/mysql-failover/failover ./test/mysqlstub
CGO_ENABLED=0 go build -o "$work/dnswatch" ./test/dnswatch

step "2. berth, two databases, two controllers (one acts, one waits)"
run "${compose[@]}" up -d >/dev/null 2>&1
"$work/dnswatch" -server 127.0.0.1:21800 mysql-vip.service.consul >"$log" &
watcher=$!
started+=("$watcher")
first=$(address mysql-1) second=$(address mysql-2)
until_ok 30 "mysql-vip.service.consul is mysql-1 ($first)" name_is "$first"
until_ok 10 "mysql-2 is healthy" healthy mysql-2
until_ok 10 "mysql-2 is its read-only replica" mode mysql-2 read-only
run $berth resolve -dns-addr 127.0.0.1:21800 mysql-vip.service.consul SRV
run who mysql-1

step "3. The primary is killed"
killed=$(date +%s%N)
run docker kill "$(container mysql-1)" >/dev/null
until_ok 20 "mysql-vip.service.consul is mysql-2 ($second)" name_is "$second"
say "  seconds from kill to the name pointing at the replica: $(seconds "$killed" "$(moved_at "$second")")"
run who mysql-2

step "4. The old primary returns: as a replica, the name stays"
docker start "$(container mysql-1)" >/dev/null
until_ok 20 "mysql-1 is healthy" healthy mysql-1
until_ok 10 "mysql-1 is read-only" mode mysql-1 read-only
name_is "$second"
say "  the name still is $second"
first=$(address mysql-1)

step "5. Back, because we say so"
told=$(date +%s%N)
run curl -s -X PUT -d mysql-1 $api/v1/kv/failover/mysql/want
say ""
until_ok 20 "mysql-vip.service.consul is mysql-1 ($first)" name_is "$first"
say "  seconds from the command to the name pointing at mysql-1: $(seconds "$told" "$(moved_at "$first")")"
run who mysql-1
until_ok 10 "mysql-2 is read-only" mode mysql-2 read-only

step "6. Every answer of the name, asked without a pause"
kill -INT "$watcher"
wait "$watcher" || true
started=()
cut -d ' ' -f 1,3- "$log"
answers=$(awk 'NF == 3 && $3 != "none" {print $3}' "$log" | uniq | paste -sd ' ')
if [ "$answers" != "$first $second $first" ]; then
	say "not the expected answers: $answers"
	exit 1
fi
say "one address or none, never the old one after the switch"
grep -q 'at most 1 addresses' "$log"

step "Done. Cleaning up."
