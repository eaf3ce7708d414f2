#!/usr/bin/env bash
# Requests per second of a durable berth server next to a server on net/http that does nothing, in
# turns on one machine and over loopback. Needs the ports BENCH_PORT to +4.
# usage: bench.sh [options of the generator]; BENCH_CONFIG is further configuration of berth
set -euo pipefail
cd "$(dirname "$0")"
base=${BENCH_PORT:-24600}
dir=$(mktemp -d)
pids=()
cleanup() {
	[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
	wait
	rm -rf "$dir"
}
trap cleanup EXIT

go build -o "$dir/api" .
"$dir/api" noop 127.0.0.1:$base &
pids+=($!) noop=$!
../../../bin/berth agent -server -bootstrap-expect=1 -node=bench -bind=127.0.0.1 -data-dir="$dir/data" -log-level=warn \
	-config="ports: {http: $((base + 1)), server: $((base + 2)), serf_lan: $((base + 3)), serf_wan: $((base + 4)), dns: -1}" \
	-config='limits: {http_max_conns_per_client: 100000}' \
	-config='registrator: {enabled: false}' -config="${BENCH_CONFIG:-}" &
pids+=($!) berth=$!
for _ in $(seq 100); do
	curl -sf 127.0.0.1:$((base + 1))/v1/status/leader | grep -q : && break
	sleep 0.1
done
"$dir/api" "$@" noop=127.0.0.1:$base,$noop berth=127.0.0.1:$((base + 1)),$berth
