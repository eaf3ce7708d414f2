#!/usr/bin/env bash
# Makes sure that the official images the stacks use are there: one that is here stays, else it is
# pulled, else a stand-in of the same name is built from Debian's package (a scratch image with
# the program, the libraries that ldd names, and the files it reads).
#
#   scripts/standin.sh haproxy|nginx...      BERTH_NO_PULL=1 does not try to pull
set -euo pipefail
cd "$(dirname "$0")/.."

# add_program ROOT PROGRAM TARGET: copies a program and its libraries into the image's root.
add_program() {
	local root=$1 program=$2 target=$3 lib
	install -D -m 755 "$program" "$root$target"
	while read -r lib; do
		case $lib in
		*/ld-linux*) install -D -m 755 "$lib" "$root$lib" ;;
		*) install -D -m 755 "$lib" "$root/lib/$(gcc_triplet)/$(basename "$lib")" ;;
		esac
	done < <(ldd "$program" | sed -nE 's/^[^/]*(\/[^ ]+) \(.*/\1/p')
}
gcc_triplet() { echo "$(uname -m)-linux-gnu"; }

build_haproxy() { # ROOT
	scripts/debroot.sh build/debroot/haproxy haproxy
	LD_LIBRARY_PATH=$(cat build/debroot/haproxy/.libs) add_program "$1" build/debroot/haproxy/usr/sbin/haproxy /usr/local/sbin/haproxy
	install -d "$1/usr/local/etc/haproxy" "$1/etc" "$1/var/lib/haproxy"
	printf 'root:x:0:0::/:\nhaproxy:x:99:99::/var/lib/haproxy:\n' >"$1/etc/passwd"
	printf 'root:x:0:\nhaproxy:x:99:\n' >"$1/etc/group"
	cat <<-'END'
		USER 99:99
		STOPSIGNAL SIGUSR1
		ENTRYPOINT ["/usr/local/sbin/haproxy", "-W", "-db"]
		CMD ["-f", "/usr/local/etc/haproxy/haproxy.cfg"]
	END
}

build_nginx() { # ROOT
	scripts/debroot.sh build/debroot/nginx nginx nginx-common
	LD_LIBRARY_PATH=$(cat build/debroot/nginx/.libs) add_program "$1" build/debroot/nginx/usr/sbin/nginx /usr/sbin/nginx
	install -d "$1/etc/nginx/conf.d" "$1/var/log/nginx" "$1/var/lib/nginx" "$1/run" "$1/tmp"
	install -m 644 build/debroot/nginx/etc/nginx/mime.types "$1/etc/nginx/"
	printf 'root:x:0:0::/:\nnginx:x:101:101::/:\nnobody:x:65534:65534::/:\n' >"$1/etc/passwd"
	printf 'root:x:0:\nnginx:x:101:\nnogroup:x:65534:\n' >"$1/etc/group"
	cat >"$1/etc/nginx/nginx.conf" <<-'END'
		user nginx;
		worker_processes auto;
		error_log /dev/stderr notice;
		pid /run/nginx.pid;
		events { worker_connections 1024; }
		http {
		    include /etc/nginx/mime.types;
		    default_type application/octet-stream;
		    access_log /dev/stdout;
		    keepalive_timeout 65;
		    include /etc/nginx/conf.d/*.conf;
		}
	END
	cat <<-'END'
		EXPOSE 80
		STOPSIGNAL SIGQUIT
		CMD ["/usr/sbin/nginx", "-g", "daemon off;"]
	END
}

for name in "$@"; do
	case $name in
	haproxy) image=haproxy:2.8 ;;
	nginx) image=nginx:1.27 ;;
	*) echo "standin: no stand-in for $name: say haproxy or nginx" >&2; exit 1 ;;
	esac
	if docker image inspect "$image" >/dev/null 2>&1; then continue; fi
	if [ "${BERTH_NO_PULL:-}" != 1 ] && timeout 120 docker pull -q "$image" >/dev/null 2>&1; then continue; fi
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	mkdir "$dir/root"
	{
		printf 'FROM scratch\nLABEL berth.standin="%s of Debian"\nADD root.tar /\n' "$name"
		"build_$name" "$dir/root"
	} >"$dir/Dockerfile"
	tar --owner 0 --group 0 -cf "$dir/root.tar" -C "$dir/root" .
	rm -rf "$dir/root"
	DOCKER_BUILDKIT=0 docker build -q -t "$image" "$dir" >/dev/null 2>&1
	rm -rf "$dir"
	echo "  $image cannot be pulled here: stand-in built from Debian's $name"
done
