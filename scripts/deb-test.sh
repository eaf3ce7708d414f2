#!/usr/bin/env bash
# Tries the package in a Debian with systemd: install, files, service, rights, reload, upgrade,
# remove, purge. Each line it prints was checked; the first that fails ends it.
set -euo pipefail
cd "$(dirname "$0")/.."
deb=$(ls dist/berth_*_"$(dpkg --print-architecture)".deb | head -n 1)
name=berth-stack-deb
trap 'docker rm -f $name >/dev/null 2>&1 || true' EXIT
scripts/debian-image.sh
scripts/systemd-container.sh $name -v "$PWD/dist:/dist:ro"

inside() { docker exec $name "$@"; }
sh() { docker exec $name sh -c "$1"; }
ok() { # WHAT COMMAND...
	local what=$1 out
	shift
	if ! out=$("$@" 2>&1); then
		printf 'FAILED: %s\n%s\n' "$what" "$out"
		inside journalctl -u berth --no-pager -n 30 || true
		exit 1
	fi
	printf 'ok  %s\n' "$what"
}
soon() { # WHAT COMMAND...: within ten seconds
	local what=$1
	shift
	for _ in $(seq 50); do
		if "$@" >/dev/null 2>&1; then printf 'ok  %s\n' "$what"; return; fi
		sleep 0.2
	done
	ok "$what" "$@"
}
same_resolv() { [ "$(sh 'cat /etc/resolv.conf')" = "$resolv" ]; }
resolv=$(sh 'cat /etc/resolv.conf')
sh 'getent group docker >/dev/null || groupadd -r docker'

ok "dpkg -i" inside dpkg -i "/dist/$(basename "$deb")"
ok "the unit verifies" inside systemd-analyze verify /lib/systemd/system/berth.service
ok "every file is as packed" sh 'cd / && md5sum -c --quiet /var/lib/dpkg/info/berth.md5sums'
ok "the service is enabled" inside systemctl is-enabled berth
soon "the service runs" inside systemctl is-active berth
soon "it has a leader and works" inside berth health
ok "it runs as the user berth" sh '[ "$(ps -o user= -p "$(systemctl show -p MainPID --value berth)")" = berth ]'
ok "berth is in the group docker" sh 'id -nG berth | grep -qw docker'
ok "its one right is port 53" sh 'grep -q "^CapEff:.*0400$" "/proc/$(systemctl show -p MainPID --value berth)/status"'
ok "it listens on port 53 of 127.0.0.1" sh 'ss -Hlun "sport = :53" | grep -q 127.0.0.1:53'
ok "DNS answers there" inside berth resolve -dns-addr 127.0.0.1:53 consul.service.consul
ok "the configuration is not for everybody" sh '[ "$(stat -c %a:%U:%G /etc/berth/berth.yaml)" = 640:root:berth ]'
ok "the data is not for everybody" sh '[ "$(stat -c %a:%U /var/lib/berth)" = 700:berth ]'
ok "the configuration validates" inside berth validate /etc/berth
ok "man berth" sh 'MANPAGER=cat man -P cat berth | grep -q "berth agent"'
ok "systemctl reload" inside systemctl reload berth
inside systemd-analyze security berth --no-pager 2>/dev/null | tail -n 1 | sed 's/^/    /' || true

inside berth kv put kept yes >/dev/null
ok "the service restarts" inside systemctl restart berth
soon "the data is still there" sh '[ "$(berth kv get kept)" = yes ]'
pid=$(sh 'systemctl show -p MainPID --value berth')
sh "kill -9 $pid"
soon "killed with -9 it is started again" sh '[ "$(systemctl show -p MainPID --value berth)" != '"$pid"' ] && berth health'

sh 'echo "# mine" >>/etc/berth/berth.yaml'
ok "dpkg -i again, as an upgrade" sh "dpkg --force-confdef --force-confold -i /dist/$(basename "$deb")"
ok "the changed configuration is kept" sh 'grep -q "# mine" /etc/berth/berth.yaml'
soon "the service runs after the upgrade" inside berth health

if sh 'berth host install -help >/dev/null 2>&1'; then
	ok "berth host install" inside berth host install -yes
	ok "names resolve through it" inside getent hosts consul.service.consul
fi
ok "dpkg -r" inside dpkg -r berth
ok "the service is gone" sh '! systemctl is-active --quiet berth'
ok "/etc/resolv.conf is what it was" same_resolv
ok "the configuration is kept" sh '[ -f /etc/berth/berth.yaml ]'
ok "the data is kept" sh '[ -d /var/lib/berth ]'
ok "dpkg -P" inside dpkg -P berth
ok "nothing is left" sh '! ls -d /etc/berth /var/lib/berth /usr/bin/berth /lib/systemd/system/berth.service 2>/dev/null | grep .'
ok "the user is gone" sh '! getent passwd berth && ! getent group berth'
ok "dpkg knows nothing of it" sh '! dpkg-query -W berth 2>/dev/null | grep .'
