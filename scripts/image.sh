#!/usr/bin/env bash
# Builds the image `berth` from the local Go toolchain, for machines that cannot pull a golang
# image. What it holds is what the Dockerfile's last stage holds. Nothing is built again that did
# not change.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:-berth}
version=${VERSION:-0.1.0}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$version" -o bin/berth ./cmd/berth
# One archive in place of the stage's copies: an archive keeps the right to bind port 53, which the
# classic builder drops from copied files. Equal content makes equal archives.
mkdir -p "$dir/root/etc/ssl/certs" "$dir/root/data"
cp /etc/ssl/certs/ca-certificates.crt "$dir/root/etc/ssl/certs/"
cp bin/berth "$dir/root/"
CGO_ENABLED=0 go run -trimpath ./internal/setcap "$dir/root/berth"
same=(--format=posix --sort=name --mtime=@0 --pax-option=delete=atime,delete=ctime)
tar "${same[@]}" --xattrs --xattrs-include=security.capability --owner 0 --group 0 -cf "$dir/root.tar" -C "$dir/root" etc berth
tar "${same[@]}" --owner 65532 --group 65532 -rf "$dir/root.tar" -C "$dir/root" data
rm -rf "$dir/root"
sed -n '/^FROM scratch/,$p' Dockerfile | sed -e '/^COPY --from=build \/etc/s/.*/ADD root.tar \//' -e '/^COPY/d' >"$dir/Dockerfile"
scripts/dockerbuild.sh "$image" "$dir" --build-arg "VERSION=$version"
docker image inspect -f '{{.Size}} bytes' "$image"
