#!/usr/bin/env bash
# docker build with the classic builder, which every engine has. The image that had the name before
# is of no more use and goes, unless a container runs it.
#
#   scripts/dockerbuild.sh IMAGE FOLDER [OPTION...]
set -euo pipefail
image=$1 dir=$2
shift 2
old=$(docker image inspect -f '{{.Id}}' "$image" 2>/dev/null || true)
if ! out=$(DOCKER_BUILDKIT=0 docker build -q -t "$image" "$@" "$dir" 2>&1); then
	printf 'docker build %s: %s\n' "$image" "$out" >&2
	exit 1
fi
if [ "$old" != "$(docker image inspect -f '{{.Id}}' "$image")" ]; then docker rmi "$old" >/dev/null 2>&1 || true; fi
