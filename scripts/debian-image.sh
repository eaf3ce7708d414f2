#!/usr/bin/env bash
# Builds the image berth-stack-debian:12, a Debian with systemd in which packages and the Ansible
# role are tried out: by debootstrap, since nothing needs to be pulled for it. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
image=berth-stack-debian:12
if docker image inspect $image >/dev/null 2>&1; then exit 0; fi
command -v debootstrap >/dev/null || { echo "debian-image: needs debootstrap: apt-get install debootstrap" >&2; exit 1; }
if [ ! -f build/debian12.tar ]; then
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,adduser,python3-minimal,python3-apt,iproute2,procps,ca-certificates,man-db \
		bookworm "$dir/root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$dir/log" 2>&1 || { tail "$dir/log" >&2; exit 1; }
	mkdir -p build
	tar -C "$dir/root" -cf build/debian12.tar.part .
	mv build/debian12.tar.part build/debian12.tar
fi
docker import build/debian12.tar $image >/dev/null
echo "$image"
