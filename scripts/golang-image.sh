#!/usr/bin/env bash
# Makes sure that the image golang:1.26 is there, which the Dockerfile builds with: one that is here
# stays, else it is pulled, else a stand-in is built: busybox as the shell, the local toolchain, the
# local module cache as a proxy of files, the public authorities' certificates.
set -euo pipefail
cd "$(dirname "$0")/.."
image=golang:1.26
if docker image inspect $image >/dev/null 2>&1; then exit 0; fi
if [ "${BERTH_NO_PULL:-}" != 1 ] && timeout 300 docker pull -q $image >/dev/null 2>&1; then exit 0; fi
case $(go env GOVERSION) in go1.26*) ;; *) echo "golang-image: the local toolchain is $(go env GOVERSION), the stand-in needs go1.26" >&2; exit 1 ;; esac

scripts/debroot.sh build/debroot/busybox busybox-static
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
root=$dir/root
mkdir -p "$root"/{bin,tmp,go,etc/ssl/certs,usr/local/go/pkg,proxy}
install -m 755 build/debroot/busybox/bin/busybox "$root/bin/busybox"
for tool in $("$root/bin/busybox" --list); do [ "$tool" = busybox ] || ln -s busybox "$root/bin/$tool"; done
chmod 1777 "$root/tmp"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf 'root:x:0:0::/root:/bin/sh\n' >"$root/etc/passwd"
goroot=$(go env GOROOT)
link=-l # a copy where that is another disk
cp -al "$goroot/VERSION" "$root/usr/local/go/" 2>/dev/null || link=
cp -a $link "$goroot"/{bin,lib,src,go.env,VERSION} "$root/usr/local/go/"
cp -a $link "$goroot"/pkg/{include,tool} "$root/usr/local/go/pkg/"
find "$root/usr/local/go/src" \( -name testdata -o -name '*_test.go' \) -prune -exec rm -rf {} +
# What every version says of itself is small; the code is copied only for the versions in use.
proxy=$(go env GOMODCACHE)/cache/download
go mod download
(cd "$proxy" && find . \( -name '*.mod' -o -name '*.info' \) -print0 | tar --null -cf - -T -) | tar -xf - -C "$root/proxy"
go list -m -f '{{if not .Main}}{{.Path}}/@v/{{.Version}}.zip{{end}}' all | sed 's/[A-Z]/!\L&/g' | while read -r zip; do
	if [ -f "$proxy/$zip" ]; then cp "$proxy/$zip" "$root/proxy/$zip"; fi
done
# What the compiler keeps of the packages in use: without it the images compile the standard library
# and every module again. An entry is a file with the output and one that names it.
export CGO_ENABLED=0
cache=$(go env GOCACHE)
go list -deps -export -trimpath -f '{{.Export}}' ./cmd/berth ./internal/setcap ./test/webapp ./test/mysqlstub ./compose/mysql-failover/failover |
	sed -n 's/.*\/\([0-9a-f]\{64\}\)-d$/\1/p' >"$dir/outputs"
find "$cache" -name '*-a' -exec cat {} + 2>/dev/null |
	awk 'NR == FNR {used[$1]; next} $3 in used {print substr($2, 1, 2) "/" $2 "-a"; print substr($3, 1, 2) "/" $3 "-d"}' "$dir/outputs" - | sort -u >"$dir/entries"
mkdir -p "$root/root/.cache/go-build"
(cd "$cache" && xargs -a "$dir/entries" cp -a $link --parents -t "$root/root/.cache/go-build")

tar --owner 0 --group 0 -cf - -C "$root" . | docker import -c 'LABEL berth.standin="golang from the local toolchain"' \
	-c 'ENV PATH=/go/bin:/usr/local/go/bin:/bin GOPATH=/go HOME=/root GOTOOLCHAIN=local GOPROXY=file:///proxy GONOSUMDB=* GOFLAGS=-buildvcs=false' \
	-c 'WORKDIR /go' -c 'CMD ["/bin/sh"]' - $image >/dev/null
echo "  $image cannot be pulled here: stand-in built from the local toolchain"
