#!/usr/bin/env bash
# Starts a container NAME of berth-stack-debian:12 with systemd as its first process, and waits
# until that has started everything. The right to mount is what systemd needs for its sandboxes.
set -euo pipefail
name=$1
shift
docker rm -f "$name" >/dev/null 2>&1 || true
docker run -d --name "$name" --hostname "${name##*-}" "$@" --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
	--cgroupns private --stop-signal SIGRTMIN+3 --tmpfs /run --tmpfs /run/lock --tmpfs /tmp -e container=docker \
	berth-stack-debian:12 /bin/sh -c 'mount -o remount,rw /sys/fs/cgroup; mount -o remount,rw /sys/fs/cgroup/systemd 2>/dev/null; exec /sbin/init' >/dev/null
for _ in $(seq 100); do
	case $(docker exec "$name" systemctl is-system-running 2>/dev/null) in running | degraded) exit 0 ;; esac
	sleep 0.2
done
echo "systemd did not start in the container $name" >&2
docker logs --tail 20 "$name" >&2
exit 1
