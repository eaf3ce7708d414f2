#!/usr/bin/env bash
# Builds dist/berth_VERSION_ARCH.deb with dpkg-deb: the program, its unit, its configuration, the
# manual page and the completions. Needs no root.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${VERSION:-0.1.0}
arch=${ARCH:-$(dpkg --print-architecture)}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
root=$dir/root

GOARCH=${arch/armhf/arm} CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$dir/berth" ./cmd/berth
native=bin/berth # what runs here; the same commands whatever the target
if [ "$arch" = "$(dpkg --print-architecture)" ]; then native=$dir/berth; fi

install -D -m 755 "$dir/berth" "$root/usr/bin/berth"
install -D -m 644 packaging/berth.service "$root/lib/systemd/system/berth.service"
install -D -m 640 packaging/berth.yaml "$root/etc/berth/berth.yaml"
install -d "$root/usr/share/man/man1" "$root/usr/share/doc/berth"
"$native" docs man | gzip -9n >"$root/usr/share/man/man1/berth.1.gz"
gzip -9nc CHANGELOG.md >"$root/usr/share/doc/berth/changelog.gz"
{
	echo "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
	printf 'Upstream-Name: berth\n\nFiles: *\nCopyright: the berth authors\nLicense: Apache-2.0\n'
	echo " On Debian systems the text is in /usr/share/common-licenses/Apache-2.0."
} >"$root/usr/share/doc/berth/copyright"
CGO_ENABLED=0 go build -o "$dir/completion" ./packaging/completion
for shell in bash:bash-completion/completions/berth zsh:zsh/vendor-completions/_berth fish:fish/vendor_completions.d/berth.fish; do
	install -D -m 644 /dev/null "$root/usr/share/${shell#*:}"
	"$dir/completion" -berth "$native" "${shell%%:*}" >"$root/usr/share/${shell#*:}"
done

install -d "$root/DEBIAN"
for script in postinst prerm postrm; do install -m 755 "packaging/deb/$script" "$root/DEBIAN/"; done
echo /etc/berth/berth.yaml >"$root/DEBIAN/conffiles"
size=$(du -sk --exclude=DEBIAN "$root" | cut -f 1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" packaging/deb/control.in >"$root/DEBIAN/control"
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
mkdir -p dist
chmod 755 "$root"
dpkg-deb --root-owner-group -Zxz --build "$root" "dist/berth_${version}_$arch.deb"
