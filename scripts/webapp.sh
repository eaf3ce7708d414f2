#!/usr/bin/env bash
# Builds the image that the demos and the stacks run, test/webapp on scratch, from the local Go
# toolchain. Prints its name.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:-berth-webapp}
dir=build/image/$image
mkdir -p "$dir"
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$dir/webapp" ./test/webapp
sed -n '/^FROM scratch/,$p' test/webapp/Dockerfile | sed 's/^COPY --from=build \/webapp/COPY webapp/' >"$dir/Dockerfile"
scripts/dockerbuild.sh "$image" "$dir"
echo "$image"
