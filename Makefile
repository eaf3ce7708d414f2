# Two commands do everything: `make demo` shows the product, `make test` runs every test.
# Both set the machine up first (scripts/setup.sh).

VERSION  ?= 0.1.0
LDFLAGS  := -s -w -X main.version=$(VERSION)
GO       ?= go
PKGS     := ./...
RACE     := ./registrator/... ./store/... ./agent/... ./dnsproxy/... ./httpapi/... ./internal/...

# No target is a file.
.PHONY: $(shell sed -n "s/^\([a-z0-9-]*\):.*/\1/p" Makefile)

build: ## static binary in bin/berth
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/berth ./cmd/berth

setup:
	@scripts/setup.sh

demo: setup build ## a labelled container becomes a name, step by step
	@scripts/demo.sh

demo-dc: ## two datacenters in containers, with failures, explained
	@scripts/setup.sh docker-compose curl
	@$(MAKE) -s build
	@scripts/demo-dc.sh

demo-haproxy: ## HAProxy's backends by DNS, scaled under load
	@scripts/setup.sh docker-compose curl
	@$(MAKE) -s build
	@scripts/demo-proxy.sh haproxy

demo-nginx: ## nginx's backends by DNS, scaled under load
	@scripts/setup.sh docker-compose curl
	@$(MAKE) -s build
	@scripts/demo-proxy.sh nginx

demo-mysql: ## a name that follows the writable database, with the primary killed
	@scripts/setup.sh docker-compose curl
	@$(MAKE) -s build
	@scripts/demo-mysql.sh

test: setup build ## every test, with real Docker
	@scripts/setup.sh docker-compose curl
	BERTH_REQUIRE_DOCKER=1 $(GO) test -timeout 10m $(PKGS)
	BERTH_REQUIRE_DOCKER=1 $(GO) test -tags e2e -timeout 25m -count=1 -parallel 4 ./test/e2e
	@$(MAKE) -s docs
	@$(MAKE) -s fault FAULT_DURATION=3m

docs: build ## every command of the user's pages, and the demonstrations, with their transcripts
	@scripts/setup.sh docker-compose curl
	BERTH_REQUIRE_DOCKER=1 $(GO) test -tags e2e -timeout 25m -count=1 -parallel 3 -v ./test/docs

# One schedule again: make fault BERTH_SEED=1234
FAULT_DURATION ?= 1m
fault: build ## every promised failure on real processes in network namespaces, then random ones; needs root
	@BERTH_NO_DOCKER=1 scripts/setup.sh iproute2 iptables
	BERTH_REQUIRE_FAULT=1 BERTH_REQUIRE_DOCKER=1 BERTH_FAULT_DURATION=$(FAULT_DURATION) $(GO) test -tags fault -timeout 30m -count=1 -parallel 64 ./test/fault

soak: build ## an hour of random failures under load, judged
	@BERTH_NO_DOCKER=1 scripts/setup.sh iproute2 iptables
	BERTH_REQUIRE_FAULT=1 BERTH_FAULT_DURATION=60m $(GO) test -tags fault -timeout 90m -count=1 -v -run TestSchedule ./test/fault

unit: ## tests without Docker
	$(GO) test -timeout 10m $(PKGS)

race: ## the race detector on everything that has goroutines
	$(GO) test -race -timeout 15m $(RACE)

compat: build ## other people's Consul clients against the binary
	test/compat/run.sh -v

lint: ## formatting, vet, static analysis, import rules
	@bad=$$(gofmt -l .); test -z "$$bad" || { echo "not formatted: $$bad" >&2; exit 1; }
	$(GO) vet -tags e2e,fault ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -tags e2e,fault ./...
	$(GO) test ./internal/arch

bench-latency: build ## container start to name, stop to gone, on real containers
	go test -tags e2e -run '^$$' -bench 'Container|RemoveAtOnce' -benchtime 1x -v ./test/e2e

bench-cluster: build ## forming, fail-over, writes of three servers, changes to many followers, DNS meanwhile
	@BERTH_NO_DOCKER=1 scripts/setup.sh iproute2 iptables
	BERTH_REQUIRE_FAULT=1 BERTH_FIGURES=1 $(GO) test -tags fault -timeout 15m -count=1 -v -run 'TestFigure|ThreeServersForm|LeaderKilled|AllServersGone' ./test/fault

bench-dns: ## DNS next to dnsmasq and to a responder that does nothing
	@BERTH_NO_DOCKER=1 scripts/setup.sh dnsperf dnsmasq-base
	@test/bench/dns/bench.sh

bench-api: build ## HTTP API of a durable server next to net/http without any work; waiting queries; checks
	@BERTH_NO_DOCKER=1 scripts/setup.sh curl
	@test/bench/api/bench.sh
	@test/bench/api/bench.sh -blocked 10000 | tail -n 1
	@test/bench/api/bench.sh -checks 2000 | tail -n 1

fuzz: ## each fuzz target for 30 seconds
	@scripts/fuzz.sh 30s

check: lint test race compat ## what CI runs

image: ## the image `berth` from the local toolchain
	@VERSION=$(VERSION) scripts/image.sh berth

image-multistage: ## the Dockerfile as it is, with a stand-in for the golang image
	@scripts/image-multistage.sh

deb: ## dist/berth_VERSION_ARCH.deb
	@VERSION=$(VERSION) scripts/deb.sh

deb-test: deb ## install, service, upgrade, remove and purge in a Debian with systemd
	@scripts/setup.sh debootstrap
	@scripts/deb-test.sh

ansible-test: build deb ## the Ansible role against four such machines
	@scripts/setup.sh debootstrap ansible
	@scripts/ansible-test.sh

clean:
	rm -rf bin build dist
