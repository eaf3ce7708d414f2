#!/usr/bin/env bash
# Makes this machine ready for `make demo` and `make test`: Go, a C compiler for the race
# detector, and a Docker engine that answers. Needs root and apt for what is missing; without
# them it says exactly what is missing and exits 1. Arguments are further Debian packages.
set -euo pipefail

say() { printf '==> %s\n' "$*" >&2; }
missing=()
can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

updated=
install() { # package...
	if ! can_install; then
		missing+=("$@")
		return 0
	fi
	say "installing $*"
	if [ -z "$updated" ]; then
		apt-get update -qq >/dev/null || true
		updated=1
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
need() { # command package
	command -v "$1" >/dev/null || install "$2"
}

docker_answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

start_docker() {
	say "starting the Docker engine"
	if [ -d /run/systemd/system ]; then
		systemctl start docker || true
	elif [ -x /etc/init.d/docker ]; then
		/etc/init.d/docker start >/dev/null 2>&1 || true
	fi
	for _ in 1 2 3 4 5; do docker_answers && return 0; sleep 1; done
	setsid dockerd >/var/log/dockerd-berth.log 2>&1 </dev/null &
	for _ in $(seq 60); do docker_answers && return 0; sleep 0.5; done
	return 1
}

if ! command -v go >/dev/null && [ -x /usr/local/go/bin/go ]; then
	say "Go is at /usr/local/go/bin: put it on the PATH"
	missing+=("go on the PATH")
elif ! command -v go >/dev/null; then
	missing+=("Go 1.26 or newer from https://go.dev/dl")
fi
need gcc gcc
need make make
for p in "$@"; do
	dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || install "$p"
done
if [ "${BERTH_NO_DOCKER:-}" != 1 ]; then
	need docker docker.io
	if command -v docker >/dev/null && ! docker_answers; then
		if [ "$(id -u)" = 0 ]; then
			start_docker || missing+=("a Docker engine that answers (dockerd did not start, see /var/log/dockerd-berth.log)")
		else
			missing+=("a Docker engine that answers: start dockerd, and let this user use its socket (group docker)")
		fi
	fi
fi
if [ ${#missing[@]} -gt 0 ]; then
	printf 'missing on this machine:\n' >&2
	printf '  - %s\n' "${missing[@]}" >&2
	exit 1
fi
