#!/usr/bin/env bash
# Queries per second and latency of berth's DNS next to Debian's dnsmasq and to a responder that
# does nothing, by dnsperf, in turns on one machine. Each figure is the median of all rounds.
# Needs dnsperf and dnsmasq (Debian: dnsperf, dnsmasq-base) and the ports BENCH_PORT to +7.
# usage: bench.sh [rounds] [seconds per measurement]
set -euo pipefail
cd "$(dirname "$0")"
rounds=${1:-5} secs=${2:-2} base=${BENCH_PORT:-24500}
dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$dir"' EXIT
for tool in dnsperf dnsmasq; do
	command -v $tool >/dev/null || { echo "bench-dns: no $tool: apt-get install dnsperf dnsmasq-base" >&2; exit 1; }
done

# What is asked: one service of three instances, 2,000 names of the upstream, these with one in
# ten that nobody may keep, and every service of the large catalog, most of them for the first time.
echo "svc0.service.consul A" >"$dir/a"
echo "_svc0._tcp.service.consul SRV" >"$dir/srv"
seq -f 'name%g.example A' 0 1999 >"$dir/cached"
awk '{print; if (NR % 9 == 0) print "n" NR ".miss A"}' "$dir/cached" >"$dir/mix"
seq -f 'svc%g.service.consul A' 0 33332 >"$dir/all"
{
	seq -f 'host-record=name%g.example,192.0.2.1,300' 0 1999
	echo "address=/miss/192.0.2.2" # TTL 0
} >"$dir/upstream.conf"
for i in 1 2 3; do echo "10.0.0.$i svc0.service.consul"; done >"$dir/hosts"

start() { # name port program arguments...
	declare -g "port_$1=$2"
	"${@:3}" &
	pids+=($!)
	declare -g "pid_$1=$!"
}
masq() { echo dnsmasq -k -p "$1" -a 127.0.0.1 -z -R -h -u "$(id -un)" -g "$(id -gn)" --dns-forward-max=1000 "${@:2}"; }
go build -o "$dir/dns" .
up=127.0.0.1:$base
start upstream "$base" $(masq "$base" -C "$dir/upstream.conf")
start dnsmasq $((base + 1)) $(masq $((base + 1)) -C /dev/null -H "$dir/hosts" -c 10000 -S "127.0.0.1#$base" \
	"--srv-host=_svc0._tcp.service.consul,node-0.node.dc1.consul,8000")
start noop $((base + 2)) "$dir/dns" noop 127.0.0.1:$((base + 2))
start berth $((base + 3)) "$dir/dns" berth 127.0.0.1:$((base + 3)) 3 $up
start berth10k $((base + 4)) "$dir/dns" berth 127.0.0.1:$((base + 4)) 10000 $up
start berth100k $((base + 5)) "$dir/dns" berth 127.0.0.1:$((base + 5)) 100000 $up

port() { local v=port_$1; echo "${!v}"; }
ticks() { local v=pid_$1; awk '{print $14 + $15}' "/proc/${!v}/stat"; } # processor time so far
ready() { # server: answers, with the caches filled
	for _ in $(seq 60); do
		dnsperf -s 127.0.0.1 -p "$(port "$1")" -d "$dir/a" -n 1 -t 1 2>/dev/null | grep -q 'completed: *1 ' && break
	done
	dnsperf -s 127.0.0.1 -p "$(port "$1")" -d "$dir/cached" -n 1 -c 1 -q 20 >/dev/null 2>&1
}
for s in upstream noop dnsmasq berth berth10k berth100k; do ready $s; done

rate() { # label server questions
	local before after
	before=$(ticks "$2")
	dnsperf -s 127.0.0.1 -p "$(port "$2")" -d "$dir/$3" -l "$secs" -c 8 -T 2 -q 200 >"$dir/out" 2>/dev/null
	after=$(ticks "$2")
	awk -v l="$1" -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" '
		/Queries per second/ {q = $4} /Queries completed/ {n = $3} /Queries lost/ {lost = $3}
		END {printf "%s\t%d\t%.2f\t%d\n", l, q, n ? t / hz * 1e6 / n : 0, lost}' "$dir/out" >>"$dir/rates"
}
latency() { # label server questions: percentiles over all queries of a fixed rate
	dnsperf -v -s 127.0.0.1 -p "$(port "$2")" -d "$dir/$3" -l "$secs" -c 8 -Q 20000 2>/dev/null |
		awk '$1 == ">" {print $NF * 1000}' | sort -n |
		awk -v l="$1" '{v[NR] = $1} END {printf "%s\t%.3f\t%.3f\t%d\n", l, v[int(NR * .5)], v[int(NR * .99)], NR}' >>"$dir/latencies"
}

echo "$(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg) before, $rounds rounds of $secs s"
for _ in $(seq "$rounds"); do
	rate "dnsmasq A" dnsmasq a
	rate "no-op" noop a
	rate "berth A" berth a
	rate "berth A, 10 k instances" berth10k a
	rate "berth A, 100 k instances" berth100k a
	rate "no-op again" noop a
	rate "berth SRV" berth srv
	rate "berth A, 33,333 names, cold" berth100k all
	rate "dnsmasq SRV (one record)" dnsmasq srv
	rate "dnsmasq cached" dnsmasq cached
	rate "berth cached" berth cached
	rate "dnsmasq 10 % misses" dnsmasq mix
	rate "berth 10 % misses" berth mix
	latency "no-op" noop a
	latency "dnsmasq A" dnsmasq a
	latency "berth A" berth a
	latency "berth A, 100 k instances" berth100k a
	latency "berth SRV" berth srv
	latency "berth cached" berth cached
done
echo "load $(cut -d' ' -f1-3 /proc/loadavg) after"

# median of column c of the lines with label l; the best is the first (b: lowest) after sorting
summary='function med(l, c,   n, i, j, x, v) {
	n = split(data[l, c], v, " ")
	for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) { x = v[j]; v[j] = v[j - 1]; v[j - 1] = x }
	low = v[1]; high = v[n]
	return v[int((n + 1) / 2)]
}
{ if (!($1 in seen)) { seen[$1] = 1; order[++labels] = $1 } for (c = 2; c <= NF; c++) data[$1, c] = data[$1, c] " " $c }'
awk -F'\t' "$summary"'
# The two of a ratio were measured right after one another: the median of the ratios of all
# rounds bears other load better than the ratio of medians.
function ratio(what, a, b,   x, y, i, n, c) {
	for (c = 2; c <= 3; c++) {
		n = split(data[a, c], x, " "); split(data[b, c], y, " "); data["r", c] = ""
		for (i = 1; i <= n; i++) data["r", c] = data["r", c] " " (c == 2 ? x[i] / y[i] : y[i] / x[i])
	}
	printf "%-44s %.2f   by processor time %.2f\n", what, med("r", 2), med("r", 3)
}
END {
	printf "\n%-30s %10s %10s %14s %6s\n", "", "queries/s", "best", "us cpu/query", "lost"
	for (i = 1; i <= labels; i++) {
		l = order[i]; lost = 0; n = split(data[l, 4], v, " "); for (j = 1; j <= n; j++) lost += v[j]
		m = med(l, 2); best = high
		printf "%-30s %10d %10d %14.2f %6d\n", l, m, best, med(l, 3), lost
	}
	print ""
	ratio("berth A / dnsmasq A", "berth A", "dnsmasq A")
	ratio("berth A / no-op", "berth A", "no-op")
	ratio("berth SRV / no-op", "berth SRV", "no-op again")
	ratio("berth cached / dnsmasq cached", "berth cached", "dnsmasq cached")
	ratio("berth 10 % misses / dnsmasq 10 % misses", "berth 10 % misses", "dnsmasq 10 % misses")
	ratio("berth A, 33,333 names / one name", "berth A, 33,333 names, cold", "berth A")
	ratio("berth A, 10 k instances / 3 instances", "berth A, 10 k instances", "berth A")
	ratio("berth A, 100 k instances / 3 instances", "berth A, 100 k instances", "berth A")
}' "$dir/rates"
awk -F'\t' "$summary"'
END {
	printf "\n%-30s %10s %10s %10s\n", "at 20,000 queries/s", "p50 ms", "p99 ms", "best p99"
	for (i = 1; i <= labels; i++) { l = order[i]; m = med(l, 3); b = low; printf "%-30s %10.3f %10.3f %10.3f\n", l, med(l, 2), m, b }
}' "$dir/latencies"
