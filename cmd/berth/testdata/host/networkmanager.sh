# NetworkManager with a connection whose server is 10.99.0.53; a script stands in for systemctl.
for deb in "$DEBS"/nm/*.deb; do dpkg --unpack --force-depends "$deb"; done
ldconfig
mkdir -p /run/dbus /run/NetworkManager /etc/NetworkManager/system-connections
mount -t sysfs -o ro sysfs /sys # it does without udev then
dbus-daemon --system --fork
ip link add ve0 type veth peer name ve1
ip link set ve1 up
ip link set ve0 up
cat >/etc/NetworkManager/system-connections/ve0.nmconnection <<'C'
[connection]
id=ve0
type=ethernet
interface-name=ve0
[ipv4]
method=manual
address1=10.98.0.1/24
dns=10.99.0.53
dns-search=corp.example
C
chmod 600 /etc/NetworkManager/system-connections/ve0.nmconnection
printf '[main]\nplugins=keyfile\ndns=default\n[keyfile]\nunmanaged-devices=none\n' >/etc/NetworkManager/NetworkManager.conf
rm -f /etc/resolv.conf
NetworkManager --no-daemon </dev/null >/tmp/nm.log 2>&1 &
echo $! >>/run/stop.pids
cat /run/dbus/pid >>/run/stop.pids
rm -f /usr/bin/systemctl
printf '#!/bin/sh\n[ "$*" = "reload NetworkManager" ] && kill -HUP %s\n' $! >/usr/bin/systemctl
chmod +x /usr/bin/systemctl
for i in $(seq 100); do grep -q 10.99.0.53 /etc/resolv.conf 2>/dev/null && exit 0; sleep .1; done
exit 1
