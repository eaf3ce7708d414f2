#!/usr/bin/env bash
# Runs packaging/ansible against containers with systemd: three servers and a client become a
# cluster; a second run changes nothing; a changed key restarts one server after another.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v ansible-playbook >/dev/null || { echo "ansible-test: needs Ansible: apt-get install ansible" >&2; exit 1; }
deb=$(ls "$PWD"/dist/berth_*_"$(dpkg --print-architecture)".deb | head -n 1)
work=$(mktemp -d)
hosts="server1 server2 server3 client1"
cleanup() {
	for h in $hosts; do docker rm -f "berth-stack-$h" >/dev/null 2>&1 || true; done
	docker network rm berth-stack-ansible >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap cleanup EXIT
scripts/debian-image.sh
docker network create berth-stack-ansible >/dev/null
for h in $hosts; do scripts/systemd-container.sh "berth-stack-$h" --network berth-stack-ansible; done

cat >"$work/inventory.yml" <<END
all:
  vars:
    ansible_connection: community.docker.docker
    ansible_python_interpreter: /usr/bin/python3
    berth_deb: $deb
    berth_encrypt: "$(bin/berth keygen)"
  children:
    berth_servers: {hosts: {berth-stack-server1: {}, berth-stack-server2: {}, berth-stack-server3: {}}}
    berth_clients: {hosts: {berth-stack-client1: {berth_config: {node_meta: {rack: r1}}}}}
END
export ANSIBLE_NOCOLOR=1 ANSIBLE_HOST_KEY_CHECKING=0 ANSIBLE_LOCAL_TEMP=$work/local
play() { ansible-playbook -i "$work/inventory.yml" packaging/ansible/site.yml "$@" >"$work/log" 2>&1 || { tail -n 60 "$work/log"; exit 1; }; }
recap() { sed -n '/PLAY RECAP/,$p' "$work/log" | grep -E '^berth' | sed 's/^/    /'; }
on() { docker exec "berth-stack-$1" "${@:2}"; }

ansible-playbook --syntax-check -i packaging/ansible/inventory.example.yml packaging/ansible/site.yml >/dev/null
echo "ok  syntax"
play
recap
for _ in $(seq 50); do [ "$(on client1 berth members -status alive | tail -n +2 | wc -l)" = 4 ] && break; sleep 0.2; done
on client1 berth members | sed 's/^/    /'
[ "$(on client1 berth members -status alive | tail -n +2 | wc -l)" = 4 ]
[ "$(on server1 berth operator raft list-peers | grep -c ' true ')" = 3 ]
echo "ok  one cluster: three voters and a client, encrypted"
play
recap
! grep -E 'changed=[1-9]' "$work/log" | grep -q .
echo "ok  a second run changes nothing"
sed -i 's/  vars:/&\n    berth_config: {log_level: debug}/' "$work/inventory.yml"
play -e berth_rolling=true
recap
[ "$(on server2 berth operator raft list-peers | grep -c ' true ')" = 3 ]
on server3 grep -q debug /etc/berth/berth.yaml
echo "ok  a change reaches every server, one after another"
