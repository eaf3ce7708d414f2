# Shared by the demos of compose/haproxy, compose/nginx and compose/mysql-failover: sourced after
# `stack=NAME` is set. Starts nothing itself; whatever the demo made is removed when it ends.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

. scripts/demolib.sh
use_compose "berth-stack-$stack" "compose/$stack/docker-compose.yml"
berth=bin/berth
work=$(mktemp -d)
started=() # processes of the demo

cleanup() {
	status=$?
	for pid in "${started[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	if [ "$status" != 0 ]; then
		printf '\nThe demo failed. The containers said:\n'
		"${compose[@]}" logs --tail 15 2>&1 | tail -n 120
	fi
	"${compose[@]}" down -v --remove-orphans -t 1 >/dev/null 2>&1 || true
	rm -rf "$work"
	exit "$status"
}
trap cleanup EXIT
"${compose[@]}" down -v --remove-orphans -t 1 >/dev/null 2>&1 || true

# containers SERVICE: the IDs of its running containers.
containers() { docker ps -q --filter "label=com.docker.compose.project=berth-stack-$stack" --filter "label=com.docker.compose.service=$1"; }
