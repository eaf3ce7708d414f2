#!/usr/bin/env bash
# Builds the repository's Dockerfile as a user would (with a stand-in for golang:1.26 where it
# cannot be pulled), and checks the image: size, what it holds, and that an agent works in it.
set -euo pipefail
cd "$(dirname "$0")/.."
image=berth-stack-multistage
name=$image-agent
log=$(mktemp)
stages=()
cleanup() {
	docker rm -f $name >/dev/null 2>&1 || true
	# The first stage holds the compiler's cache: a gigabyte that nobody needs again.
	docker rmi -f "${stages[@]}" >/dev/null 2>&1 || true
	rm -f "$log"
}
trap cleanup EXIT
start=$(date +%s)
scripts/golang-image.sh
echo "ok  a golang image in $(($(date +%s) - start)) s"

build() { # IMAGE OPTION...: the first stage, then the last
	local image=$1 start
	shift
	start=$(date +%s)
	docker build --target build "$@" >"$log" 2>&1 || { tail -n 40 "$log"; exit 1; }
	stages+=("$(docker build -q --target build "$@" 2>/dev/null || true)")
	docker build -t "$image" "$@" >"$log" 2>&1 || { tail -n 40 "$log"; exit 1; }
	stages+=("$image")
	echo "ok  docker build $* in $(($(date +%s) - start)) s"
}
build $image .
build $image-webapp test/webapp
build $image-mysql -f compose/mysql-failover/Dockerfile .
stages+=("$(docker build -q -f compose/mysql-failover/Dockerfile --target mysqlstub . 2>/dev/null || true)")
size=$(docker image inspect -f '{{.Size}}' $image)
[ "$size" -lt 40000000 ] || { echo "the image has $size bytes, want less than 40 MB"; exit 1; }
echo "ok  $size bytes, less than 40 MB"
docker run --rm $image version | head -n 1 | sed 's/^/ok  /'

docker rm -f $name >/dev/null 2>&1 || true
docker run -d --name $name --hostname multistage -e BERTH_BOOTSTRAP_EXPECT=1 -e BERTH_SERVER=true $image >/dev/null
for _ in $(seq 100); do docker exec $name /berth health >/dev/null 2>&1 && break; sleep 0.1; done
docker exec $name /berth health >/dev/null || { docker logs $name | tail -n 20; exit 1; }
echo "ok  an agent with the image's own command has a leader"
[ "$(docker inspect -f '{{.Config.User}}' $image)" = 65532:65532 ]
echo "ok  it is not root"
docker exec $name /berth resolve -dns-addr 127.0.0.1:53 consul.service.consul | grep -q consul.service.consul ||
	{ echo "port 53 does not answer"; docker logs $name | grep -i dns; exit 1; }
echo "ok  port 53 answers"
docker exec $name /berth kv put k v >/dev/null
docker restart -t 10 $name >/dev/null
for _ in $(seq 100); do [ "$(docker exec $name /berth kv get k 2>/dev/null)" = v ] && break; sleep 0.1; done
[ "$(docker exec $name /berth kv get k)" = v ]
echo "ok  its data outlives a restart"
