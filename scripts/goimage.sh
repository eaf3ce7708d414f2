#!/usr/bin/env bash
# Builds an image of static Go programs on scratch: the first is what it runs, the others lie
# beside it in /. Nothing is built again that did not change.
#
#   scripts/goimage.sh IMAGE PACKAGE...
set -euo pipefail
cd "$(dirname "$0")/.."
image=$1
shift
dir=build/image/$image
mkdir -p "$dir/out"
for p in "$@"; do
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$dir/out/$(basename "$p")" "$p"
done
printf 'FROM scratch\nCOPY out /\nENTRYPOINT ["/%s"]\n' "$(basename "$1")" >"$dir/Dockerfile"
scripts/dockerbuild.sh "$image" "$dir"
echo "$image"
