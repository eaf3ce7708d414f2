# How the demos talk and wait; sourced by them. Starts nothing.

bold= dim= off=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m'; fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
say() { printf '%s\n' "$*"; }
run() { printf '%s$ %s%s\n' "$dim" "$*" "$off"; "$@"; }
ms() { echo $((($(date +%s%N) - $1) / 1000000)); }

# until_ok SECONDS WHAT COMMAND...: tries until the command succeeds, and says how long it took.
until_ok() {
	local limit=$1 what=$2 start
	shift 2
	start=$(date +%s%N)
	until "$@" >/dev/null 2>&1; do
		if [ "$(ms "$start")" -gt $((limit * 1000)) ]; then
			echo "not within ${limit} s: $what" >&2
			return 1
		fi
		sleep 0.05
	done
	say "  $what: after $(ms "$start") ms"
}

# use_compose PROJECT FILE: sets the command `compose`, of whichever version is installed.
use_compose() {
	DOCKER_GID=$(stat -c %g /var/run/docker.sock)
	export DOCKER_GID
	if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
	compose+=(-p "$1" -f "$2")
}
