#!/usr/bin/env bash
# Shows the main job on this machine: an agent, two labelled containers, their names in DNS,
# one stopped and gone. Uses ports of its own, and removes everything it made.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/demolib.sh

export BERTH_HTTP_ADDR=127.0.0.1:18500
berth=bin/berth
log=$(mktemp)
agent=

cleanup() {
	status=$?
	docker rm -f demo-web-1 demo-web-2 >/dev/null 2>&1 || true
	if [ -n "$agent" ]; then
		kill "$agent" 2>/dev/null || true
		wait "$agent" 2>/dev/null || true
	fi
	if [ "$status" != 0 ]; then
		printf '\nThe demo failed. The agent said:\n'
		tail -n 40 "$log"
	fi
	rm -f "$log"
	exit "$status"
}
trap cleanup EXIT
docker rm -f demo-web-1 demo-web-2 >/dev/null 2>&1 || true

# until_gone NAME: until the name does not exist any more.
until_gone() { until_ok 10 "$1 is gone" bash -c "! $berth resolve $1"; }

step "1. An image to run: a small web server on scratch"
image=$(scripts/webapp.sh berth-webapp)
echo "built $image"

step "2. One agent: server, registrator, DNS and HTTP API in one process"
run $berth version
printf '%s$ %s agent -dev ...%s\n' "$dim" "$berth" "$off"
$berth agent -dev -node demo -http-port 18500 -dns-port 18600 -server-port 18300 \
	-serf-lan-port 18301 -serf-wan-port 18302 >"$log" 2>&1 &
agent=$!
until_ok 10 "the agent is ready" $berth health
run $berth members

step "3. Two containers, labelled with the name that they shall have"
run docker run -d --name demo-web-1 -l SERVICE_8080_NAME=web -l SERVICE_8080_ID=web-1 \
	-l SERVICE_TAGS=blue -p 15081:8080 $image
run docker run -d --name demo-web-2 -l SERVICE_8080_NAME=web -l SERVICE_8080_ID=web-2 \
	-l SERVICE_TAGS=green -p 15082:8080 $image

step "4. They are registered; explain says what and why"
until_ok 10 "blue.web.service.consul resolves" $berth resolve blue.web.service.consul
until_ok 10 "green.web.service.consul resolves" $berth resolve green.web.service.consul
run $berth catalog services -tags
run $berth explain demo-web-1

step "5. Names: full, by tag, SRV with the published ports, and short"
run $berth resolve web.service.consul
run $berth resolve blue.web.service.consul
run $berth resolve web.service.consul SRV
run $berth resolve web.

step "6. One container stops: its instance is gone, the other one stays"
run docker stop demo-web-1
until_gone blue.web.service.consul
run $berth resolve web.service.consul SRV

step "7. The other one stops too: the name does not exist any more"
run docker stop demo-web-2
until_gone web.service.consul
run $berth resolve web.service.consul || echo "(exit status $?: the name is gone, as it should be)"
run $berth explain demo-web-2 || true

step "Done. Cleaning up."
