# hopgate: `make help` lists what there is to do.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

GO       ?= go
FUZZTIME ?= 60s
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X hopgate/cli.version=$(VERSION)
SOURCES  := $(shell git ls-files '*.go' go.mod go.sum 2>/dev/null)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## Build hopgate and run it with an embedded issuer and backend
	./hopgate demo

.PHONY: build
build: ## Build the binary ./hopgate
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o hopgate .

.PHONY: test
test: e2e-deps ## Run every test, with the race detector where things are concurrent
	$(GO) vet ./...
	$(GO) test -race -shuffle=on ./...
	$(GO) test -run 'Alloc' ./...
	cd bench && $(GO) vet ./... && $(GO) test ./...
	@.ci/left-out

.PHONY: e2e-deps
e2e-deps: ## Install what the end-to-end tests need (an OpenID provider, test suites of others)
	@.ci/e2e-deps

.PHONY: race
race: ## Run the tests many times in random order, looking for races
	$(GO) test -race -shuffle=on -count=5 ./...

.PHONY: lint
lint: ## Check style, the arrows between packages, and known vulnerabilities
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "not formatted (run gofmt -w):"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod golangci-lint run
	@# The database of known vulnerabilities is on the network; without it this step is left out, and says so.
	@if $(GO) tool -modfile=tools/go.mod govulncheck ./... ; then :; else \
	  code=$$?; if [ $$code -eq 3 ]; then exit 3; else echo "govulncheck could not run (exit $$code): left out"; fi; fi

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME each (60s)
	@for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

.PHONY: soak
soak: ## Pass 1 GiB bodies, hold 10,000 idle connections and 5,000 event streams, and report their memory
	HOPGATE_SOAK=1 $(GO) test -count=1 -v -timeout 5m -run 'LargeBodies|IdleConnections|OpenStreams' ./e2e

.PHONY: bench
bench: ## Compare hopgate with its peers (10 minutes)
	@cd bench && $(GO) run .

.PHONY: bench-quick
bench-quick: ## Compare the main cases only (2 minutes)
	@cd bench && $(GO) run . -quick

.PHONY: profile
profile: ## Write default.pgo, by which the compiler optimizes, anew (2 minutes)
	@cd bench && $(GO) run . -profile ../default.pgo

.PHONY: bench-micro
bench-micro: ## Run the micro-benchmarks, with allocations
	$(GO) test -run '^$$' -bench . -benchmem ./...

.PHONY: cover
cover: ## Measure statement coverage
	$(GO) test -coverprofile=coverage.out ./...
	$(GO) tool cover -func=coverage.out | tail -n 1

.PHONY: generate
generate: ## Write config.schema.json and the reference tables of docs/ anew
	$(GO) test ./config ./policy ./cli -run 'UpToDate' -update

.PHONY: clean
clean: ## Remove what was built
	rm -rf hopgate coverage.out dist
