#!/usr/bin/env bash
# Unpacks Debian packages, with the libraries that this machine lacks, into a folder: programs to
# run from there. Nothing is installed, no service is started. The folder is kept and reused.
#
#   scripts/debroot.sh FOLDER PACKAGE...
#   LD_LIBRARY_PATH=$(cat FOLDER/.libs) FOLDER/usr/sbin/PROGRAM
set -euo pipefail
dir=$1
shift
if [ -f "$dir/.complete" ] && [ "$(cat "$dir/.complete")" = "$*" ]; then exit 0; fi
command -v apt-get >/dev/null || { echo "debroot: needs apt-get of Debian or Ubuntu to fetch $*" >&2; exit 1; }

if ! apt-cache show "$@" >/dev/null 2>&1; then
	apt-get update -qq >/dev/null 2>&1 || { echo "debroot: apt-get update failed: run it as root, then again" >&2; exit 1; }
fi
installed=$(dpkg-query -W -f='${Status} ${Package}\n' | sed -n 's/.*ok installed //p' | sort -u)
needed=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
	--no-enhances "$@" | sed -nE '/^lib[^:]*$/p' | sort -u)
missing=$(comm -13 <(echo "$installed") <(echo "$needed"))
# Names without a version to install are virtual packages.
real=
[ -z "$missing" ] || real=$(apt-cache policy $missing | awk '/^[^ ]/ {name = substr($1, 1, length($1) - 1)} $1 == "Candidate:" && $2 != "(none)" {print name}')

rm -rf "$dir"
mkdir -p "$dir/.debs"
dir=$(cd "$dir" && pwd)
(cd "$dir/.debs" && apt-get download -qq "$@" $real >/dev/null 2>"$dir/.error") || { cat "$dir/.error" >&2; exit 1; }
for deb in "$dir/.debs"/*.deb; do dpkg-deb -x "$deb" "$dir"; done
rm -rf "$dir/.debs" "$dir/.error"
{ find "$dir/usr/lib" "$dir/lib" -maxdepth 1 -name '*-linux-gnu*' 2>/dev/null || true; } | paste -sd: >"$dir/.libs"
echo "$*" >"$dir/.complete"
