#!/usr/bin/env bash
# Other people's Consul clients against bin/berth: installs what is missing (Debian packages as
# root; the rest goes into bin/compat) and runs test/compat and the recorded exchanges.
set -euo pipefail
cd "$(dirname "$0")/../.."
template=v0.41.1
prometheus=v0.313.5 # Debian's is built without consul_sd_configs

say() { printf '==> %s\n' "$*" >&2; }
BERTH_NO_DOCKER=1 scripts/setup.sh patroni postgresql postgresql-client python3-psycopg2 python3-consul
mkdir -p bin/compat
tools=$PWD/bin/compat

if [ ! -x "$tools/consul-template" ]; then
	say "building consul-template $template"
	GOBIN=$tools go install "github.com/hashicorp/consul-template@$template"
fi
if [ ! -d "$tools/python-consul2" ]; then
	say "fetching python3-consul2 (it cannot be installed beside python3-consul)"
	tmp=$(mktemp -d)
	(cd "$tmp" && apt-get download -qq python3-consul2 2>/dev/null && dpkg -x python3-consul2_*.deb "$tools/python-consul2")
	rm -rf "$tmp"
fi
if [ ! -x "$tools/prometheus" ]; then
	say "building prometheus $prometheus with its Consul discovery only"
	tmp=$(mktemp -d)
	(cd "$tmp" && go mod init build >/dev/null 2>&1 &&
		go get "github.com/prometheus/prometheus/cmd/prometheus@$prometheus" >/dev/null 2>&1 &&
		go build -tags 'remove_all_sd enable_consul_sd' -o "$tools/prometheus" github.com/prometheus/prometheus/cmd/prometheus)
	rm -rf "$tmp"
fi

export BERTH_BIN=$PWD/bin/berth
say "recorded exchanges"
go test -count=1 -run TestBinary_ ./httpapi
say "clients"
cd test/compat
go vet -tags programs ./...
go test -tags programs -count=1 -parallel 4 -timeout 8m "$@" ./...
