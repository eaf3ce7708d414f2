#!/usr/bin/env bash
# Drives compose/haproxy or compose/nginx: web goes from 3 to 10 to 2 instances while requests run
# without a pause, and counts those that fail. Removes everything it made.
#
#   scripts/demo-proxy.sh haproxy|nginx
stack=${1:?haproxy or nginx}
. "$(dirname "$0")/stack.sh"

case $stack in
haproxy) port=21080 dns=21600 urls=(http://127.0.0.1:21080/) ;;
nginx) port=21180 dns=21700 urls=(http://127.0.0.1:21180/ http://127.0.0.1:21180/short/) ;;
esac
log=$work/load

# backends N: as many instances answered within the last second.
backends() { [ "$(tail -n 1 "$log" | sed -nE 's/.* backends ([0-9]+) .*/\1/p')" = "$1" ]; }
names() { [ "$($berth resolve -dns-addr 127.0.0.1:$dns web.service.consul SRV | grep -c " 8080 ")" = "$1" ]; }

step "1. Images: berth, a small web server, and $stack"
scripts/image.sh berth | tail -n 1
scripts/webapp.sh berth-webapp
scripts/standin.sh "$stack"
CGO_ENABLED=0 go build -o "$work/loadgen" ./test/load

step "2. berth, $stack and three web containers"
run "${compose[@]}" up -d >/dev/null 2>&1
until_ok 30 "the name has 3 instances" names 3
until_ok 15 "$stack answers" curl -sf -m 2 "${urls[0]}"
run $berth resolve -dns-addr 127.0.0.1:$dns web.service.consul SRV

step "3. 200 requests a second start, and do not stop until the end"
"$work/loadgen" -rate 200 "${urls[@]}" >"$log" 2>&1 &
load=$!
started+=("$load")
until_ok 15 "3 instances answer" backends 3
run tail -n 1 "$log"

step "4. From 3 instances to 10"
run "${compose[@]}" up -d --no-recreate --scale web=10 >/dev/null 2>&1
until_ok 30 "the name has 10 instances" names 10
until_ok 20 "10 instances answer" backends 10
run tail -n 1 "$log"

step "5. From 10 to 2: docker stop of eight, all at once"
stop=$(containers web | head -n 8)
say "$ docker stop \$(8 containers)"
start=$(date +%s%N)
docker stop $stop >"$work/stopped" &
started+=($!)
until_ok 20 "the name has 2 instances" names 2
until_ok 30 "only 2 instances answer" backends 2
wait "${started[-1]}"
say "  the last container ended: $(ms "$start") ms after docker stop"
run tail -n 1 "$log"

if [ "$stack" = haproxy ]; then
	weights=$(curl -sf 'http://127.0.0.1:21081/;csv' | awk -F, '$1 == "web" && $2 != "BACKEND" && $18 ~ /^UP/ {print $19}' | sort | uniq -c | xargs)
	say "  HAProxy has 2 servers, with the weight of the label: $weights"
	[ "$weights" = "2 10" ] || { say "expected 2 servers of weight 10"; exit 1; }
fi

step "6. What became of the requests"
kill -INT "$load"
status=0
wait "$load" || status=$?
started=()
grep -E '^(failed|requests)' "$log"
[ "$status" = 0 ] || { say "requests were lost"; exit 1; }

step "Done. Cleaning up."
