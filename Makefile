# What a change has to pass; .ci/run calls these targets in order, after it has installed what they need.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

staticcheck := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
exhaustive := go run github.com/nishanths/exhaustive/cmd/exhaustive@v0.17.1
# A switch over one of these has a case for every signal, phase and kind of failure: what is added is decided everywhere.
closed_types := netreply/netreply(/internal/[a-z]+)?\.(signal|nature|Phase|Fault)$$|/flow\.Kind$$
# A switch over one of these may have a default in their place.
open_types := netreply/netreply\.RedirectPolicy$$|/httpurl\.(Policy|RefusalKind)$$|/auth\.Kind$$

nested := opensslpsk httpcache/rediscache internal/interop internal/libraries examples bench
systems := windows/amd64 darwin/arm64 plan9/amd64 js/wasm
portable := . ./cookies ./headers ./hsts ./httpcache/... ./httpserver ./netreplytest ./internal/...
# HTTP/1 goes over net/http's connections, or with this over our own ones. Tests without it and with the race detector with it cover both.
own := -tags netreply_ownh1
# A count: a time limit can end a run of go test in "context deadline exceeded", with nothing found.
fuzz_runs := 8000x
# For each kind of connection, with and without TLS.
chaos_time := 8s
build := .build
axe := 4.14.1
axe_sum := 29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c

.PHONY: axe help fmt lint test race nested examples bench bench-compare fuzz chaos crash conformance api

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

fmt: ## format the Go files
	git ls-files -z '*.go' | xargs -0 gofmt -w

lint: ## formatting, go.mod, go vet here and for other systems, staticcheck, exhaustive switches
	@unformatted=$$(git ls-files -z '*.go' | xargs -0 gofmt -l); \
	if [ -n "$$unformatted" ]; then printf 'make fmt changes:\n%s\n' "$$unformatted"; exit 1; fi
	@for m in . $(nested); do echo "go mod tidy, go vet, staticcheck: $$m"; \
	  (cd $$m && go mod tidy -diff && go vet ./... && $(staticcheck) ./...); done
	$(exhaustive) -typeonly '$(closed_types)' ./...
	$(exhaustive) -d -typeonly '$(open_types)' ./...
	@for tags in '$(own)' '-tags netreply_portable'; do echo "go vet, staticcheck: $$tags"; go vet $$tags ./internal/wire; $(staticcheck) $$tags ./internal/wire; done
	@for s in $(systems); do echo "go vet: $$s"; GOOS=$${s%/*} GOARCH=$${s#*/} go vet $(portable); \
	  GOOS=$${s%/*} GOARCH=$${s#*/} go vet $(own) ./internal/wire; done

test: ## the tests, HTTP/1 over net/http's connections; what a request costs over our own ones, and internal/wire without sockets that can be asked
	go test ./...
	go test $(own) -run '^(TestStack|TestSmallStack|TestSizes|Test.*Allocations)$$' .
	go test -tags netreply_portable ./internal/wire

race: ## the tests with the race detector, shuffled, HTTP/1 over our own connections
	go test -race -shuffle=on $(own) ./...

nested: ## the tests of the nested modules, likewise; opensslpsk needs gcc and libssl-dev, httpcache/rediscache redis-server
	@for m in $(nested); do (cd $$m && go test -race -shuffle=on $(own) ./...); done
	@for m in internal/interop internal/libraries; do (cd $$m && go test ./...); done

axe: $(build)/axe.min.js ## gets axe-core from npm, with which a test checks the accessibility of the fileserver's page

$(build)/axe.min.js:
	@mkdir -p $(build)/axe
	cd $(build)/axe && npm pack --silent axe-core@$(axe) && tar -xzf axe-core-$(axe).tgz
	echo "$(axe_sum)  $(build)/axe/package/axe.min.js" | sha256sum --check
	mv $(build)/axe/package/axe.min.js $@
	rm -r $(build)/axe

examples: ## each example, with answers to its questions
	go run -C examples ./download
	go run -C examples ./apiclient
	go run -C examples ./upload
	printf 'y\ny\n' | go run -C examples ./redirects
	printf 'gopher\nburrow\n' | go run -C examples ./login
	printf 'y\n' | go run -C examples ./selfsigned
	printf 'gopher\nburrow\n' | go run -C examples ./proxy
	go run -C examples ./fileserver -demo
	go run -C examples ./customscheme
	go run -C examples ./cached

bench: ## each benchmark once, and a short round of those against other clients
	go test -run '^$$' -bench . -benchtime 1x ./...
	@mkdir -p $(build)/bench
	cd bench && ./run.sh -rounds 1 -dur 100ms -dlmib 8 -ulmib 8 -filemib 8 -gzmib 8 -cachedmib 8 -out ../$(build)/bench \
	  -clients nethttp,netreply,netreply-fetch -works seq,conc64,dl-h1,dl-tls,dl-h2,ul-h1,gzip,redirect,dl-prog

# Of bench-compare.
REV ?= HEAD
WORKS ?= seq,conc64,dl-h1,dl-tls,ul-h1,redirect,h2mux
ROUNDS ?= 7

bench-compare: ## this tree beside an earlier one, in paired rounds: make bench-compare REV=v0.1.0 WORKS=seq ROUNDS=7
	@mkdir -p $(build)/compare
	rm -rf $(build)/compare/tree && git worktree prune && git worktree add --quiet --detach $(build)/compare/tree $(REV)
	cd $(build)/compare/tree/bench && go build -o ../../../../bench/.build/benchclient@rev ./cmd/benchclient
	git worktree remove --force $(build)/compare/tree
	cd bench && ./run.sh -out ../$(build)/compare -rounds $(ROUNDS) -works $(WORKS) \
	  -base @rev -clients netreply@rev,netreply-fetch@rev,netreply,netreply-fetch
	@cat $(build)/compare/results.md

fuzz: ## each fuzz target, for a count of runs
	@go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | while read -r pkg; do \
	  for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do echo "$$pkg $$target"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(fuzz_runs) -fuzzminimizetime 100x $$pkg; done; done

chaos: ## clients and servers that do everything wrong on connections of HTTP/1, with the race detector: make chaos chaos_time=5m for longer
	NETREPLY_TEST_CHAOS=$(chaos_time) go test -race -count=1 -timeout 0 -run '^TestH1Chaos$$' ./internal/wire

crash: ## processes that write to one httpcache.Disk are killed, 200 times
	NETREPLY_TEST_CRASHES=200 go test -count=1 -run '^TestDiskCrash$$' ./httpcache

conformance: ## the tools that compare with recorded traces of Qt
	go run ./internal/conformance/cmd/pack -unpack $(build)/qt
	go run $(own) ./internal/conformance/cmd/qtrun -scenarios $(build)/qt/scenarios -out $(build)/got -run '^life-'
	go run ./internal/conformance/cmd/compare -want $(build)/qt/traces -got $(build)/got -level signals -run '^life-' -waive internal/conformance/waivers.json

api: ## write api.txt, the exported surface, anew
	go test ./internal/api -update
