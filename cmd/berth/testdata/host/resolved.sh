# systemd-resolved with a link whose server is 10.99.0.53; a script stands in for systemctl.
dpkg --force-depends --unpack "$DEBS"/systemd-resolved_*.deb
adduser --system --no-create-home --group systemd-resolve
mkdir -p /run/dbus /run/systemd/resolve
chown systemd-resolve /run/systemd/resolve
dbus-daemon --system --fork
ip link add ve0 type veth peer name ve1
ip addr add 10.98.0.1/24 dev ve0
ip link set ve0 up
ip link set ve1 up
rm -f /usr/bin/systemctl
cat >/usr/bin/systemctl <<'S'
#!/bin/sh
[ "$*" = "restart systemd-resolved" ] || exit 1
[ -f /run/resolved.pid ] && kill "$(cat /run/resolved.pid)"
while [ -f /run/resolved.pid ] && kill -0 "$(cat /run/resolved.pid)" 2>/dev/null; do sleep .05; done
caps=+net_bind_service,+net_raw,+setpcap
setpriv --reuid systemd-resolve --regid systemd-resolve --clear-groups --ambient-caps $caps --inh-caps $caps \
	/lib/systemd/systemd-resolved </dev/null >/tmp/resolved.log 2>&1 &
echo $! >/run/resolved.pid
echo $! >>/run/stop.pids
for i in $(seq 40); do resolvectl status >/dev/null 2>&1 && exit 0; sleep .1; done
exit 1
S
chmod +x /usr/bin/systemctl
systemctl restart systemd-resolved
resolvectl dns ve0 10.99.0.53
resolvectl domain ve0 corp.example
resolvectl default-route ve0 true
rm -f /etc/resolv.conf
ln -s ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
cat /run/dbus/pid >>/run/stop.pids
