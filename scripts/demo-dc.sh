#!/usr/bin/env bash
# Drives compose/two-datacenters: two datacenters on this machine, a name asked across them, the
# leader stopped, a server's data wiped. Explains each step and removes everything it made.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/demolib.sh
use_compose berth-demo compose/two-datacenters/docker-compose.yml
berth=bin/berth
dc1=(env BERTH_HTTP_ADDR=127.0.0.1:8501) dc2=(env BERTH_HTTP_ADDR=127.0.0.1:8503)
dns1="-dns-addr 127.0.0.1:9600" dns2="-dns-addr 127.0.0.1:9601"

cleanup() {
	status=$?
	if [ "$status" != 0 ]; then
		printf '\nThe demo failed. The agents said:\n'
		"${compose[@]}" logs --tail 15 2>&1 | tail -n 120
	fi
	"${compose[@]}" down -v --remove-orphans >/dev/null 2>&1 || true
	exit "$status"
}
trap cleanup EXIT
"${compose[@]}" down -v --remove-orphans >/dev/null 2>&1 || true

alive() { [ "$("${dc1[@]}" $berth members -status alive | tail -n +2 | wc -l)" = 4 ] && [ "$("${dc2[@]}" $berth members -status alive | tail -n +2 | wc -l)" = 2 ]; }
container() { echo "$("${compose[@]}" ps -q "$1")"; }
leader_service() {
	local ip
	ip=$("${dc1[@]}" curl -s 127.0.0.1:8501/v1/status/leader | tr -d '"' | cut -d: -f1)
	for s in dc1-server-1 dc1-server-2 dc1-server-3; do
		if docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$(container $s)" | grep -qx "$ip"; then echo $s; fi
	done
}
voters() { [ "$("${dc1[@]}" $berth operator raft list-peers 2>/dev/null | grep -c ' true ')" = "$1" ]; }
raft_id() { "${dc1[@]}" $berth operator raft list-peers | awk -v node="$1" '$1 == node { print $2 }'; }
votes_anew() { # node former-id
	local id
	id=$(raft_id "$1" 2>/dev/null)
	[ -n "$id" ] && [ "$id" != "$2" ] && voters 3
}
has_leader() { [ "$("${dc1[@]}" curl -sf -m 1 127.0.0.1:8501/v1/status/leader)" != '""' ]; }

step "1. Images: berth and a small web server, both on scratch"
scripts/image.sh berth | tail -n 1
scripts/webapp.sh berth-webapp 2>/dev/null

step "2. Two datacenters: three servers and a client in dc1, one server and a client in dc2"
start=$(date +%s%N)
"${compose[@]}" up -d --no-build >/dev/null 2>&1
say "  containers started: after $(ms "$start") ms"
until_ok 60 "all members alive in both datacenters" alive
say "  cold start, from docker compose up: $(ms "$start") ms"
run "${dc1[@]}" $berth members
run "${dc2[@]}" $berth members
until_ok 20 "both datacenters know each other" bash -c "[ \$(env BERTH_HTTP_ADDR=127.0.0.1:8501 $berth catalog datacenters | wc -l) = 2 ]"

step "3. One name in each: web, asked here and across"
until_ok 20 "web.service.consul in dc1" $berth resolve $dns1 web.service.consul
until_ok 20 "web.service.dc2.consul from dc1" $berth resolve $dns1 web.service.dc2.consul
run $berth resolve $dns1 web.service.consul
run $berth resolve $dns1 web.service.dc2.consul
run $berth resolve $dns1 web.service.dc2.consul SRV
run $berth resolve $dns2 web.service.dc1.consul

step "4. The leader of dc1 is killed: another one takes over, names go on"
leader=$(leader_service)
say "  the leader is $leader"
docker kill "$(container "$leader")" >/dev/null
run $berth resolve $dns1 web.service.consul
until_ok 20 "a write is accepted again" curl -sf -m 1 -X PUT -d moved 127.0.0.1:8501/v1/kv/demo/leader
say "  the leader is now $(leader_service)"
docker start "$(container "$leader")" >/dev/null
until_ok 60 "$leader is back, three voters" voters 3

step "5. A server's volume is wiped: it comes back empty and is filled by the leader"
victim=$(for s in dc1-server-1 dc1-server-2 dc1-server-3; do [ "$s" = "$(leader_service)" ] || { echo $s; break; }; done)
former=$(raft_id "$victim")
say "  wiping $victim, whose identity is $former"
docker rm -f "$(container "$victim")" >/dev/null
docker volume rm "berth-demo_$victim" >/dev/null
run $berth resolve $dns1 web.service.consul
"${compose[@]}" up -d --no-build "$victim" >/dev/null 2>&1
until_ok 90 "$victim votes again, with a new identity" votes_anew "$victim" "$former"
until_ok 60 "all members alive in both datacenters" alive
run "${dc1[@]}" $berth operator raft list-peers
run $berth resolve $dns1 web.service.dc2.consul

step "Done. Cleaning up."
