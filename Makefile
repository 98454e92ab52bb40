# weft: see README.md. Every target is one line of help here.

GO ?= go
FORMAT ?= table
LINT = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Tests of whole routers that hold for the userspace engine, too, a third of them: 'WEFT_TEST_ENGINE=soft go test ./test/router' runs all.
SOFT_ROUTER = ^Test(TimeExceeded|PacketTooBig|LinkDown|LinkRenamed|FirstPacketIsNotLost|NeighborMACChange|RouteTypes|RoutesThatEndPackets|LocalDelivery)$$

.DEFAULT_GOAL := help
.PHONY: run lookups help all deps build man generate test soak soak-packets soak-faults race fuzz bench bench-go bench-fib bench-forward bench-routes bench-designs lint fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

all: build lint test ## build, lint and test

deps: ## install what generating, linting and testing need (Debian packages; as root)
	@sh .ci/deps

run: ## weft's main job, shown in network namespaces in a minute; as root, asks sudo; needs Go and iproute2
	@echo "Building weft: a minute the first time, a moment after that."
	@$(GO) build -v -o build/ ./cmd/weft ./test/demo
	@build/demo

lookups: ## the Internet table in the FIB: loaded, looked up, changed; needs nothing but Go, and no root
	@$(GO) run ./test/fibbench -rounds 3 -only '^(go/.*/(weft|weft_compact|bart_fast|bart_table)|load/.*|update/.*|switch/.*|memory/full/weft.*)$$'

build: ## compile everything; needs nothing but Go
	$(GO) build ./...

man: ## write the manual pages into build/man
	$(GO) run ./cmd/weft man build/man

generate: ## make Go and BPF objects from the C source again (clang-19)
	$(GO) generate ./...

test: deps ## run all tests, as root: the ones in the kernel too; prints what was proved
	@mkdir -p build && rm -f build/proof.jsonl
	@WEFT_PROOF=$(CURDIR)/build/proof.jsonl $(GO) test -count=1 ./...; code=$$?; \
		WEFT_TEST_ENGINE=soft $(GO) test -count=1 -run '$(SOFT_ROUTER)' ./test/router || code=1; \
		WEFT_PROOF=$(CURDIR)/build/proof.jsonl $(GO) run ./test/proof/report && exit $$code

soak: soak-packets soak-faults ## all of what takes long, as root: hours

soak-packets: ## compare weft, the model and Linux on 10^8 packets, as root; goes on where it was interrupted (build/soak.json)
	@$(GO) build -o build/ ./test/agreement/soak
	@build/soak

soak-faults: ## faults as large and as long as they are promised for, and each failpoint 20 times, as root: hours
	@mkdir -p build
	WEFT_SOAK=1 WEFT_PROOF=$(CURDIR)/build/soak.jsonl $(GO) test -count=1 -p 1 -timeout 0 ./test/faults ./test/failpoints ./test/scale


race: ## run the tests of FIB, control and the userspace loop under the race detector
	$(GO) test -race ./fib/... ./control/... ./dataplane/soft/... ./dataplane/packet

fuzz: ## fuzz each target that there is for a minute, as root: parsers, decoders, the FIB, the programs
	@.ci/fuzz 1m

bench: ## what forwards, side by side in one run, as root, under 10 minutes; figures and plots in build/bench.*
	@$(GO) build -o build/ ./cmd/weft
	@build/weft bench --short --json build/bench.json --html build/bench.html --bench build/bench.txt --plot build/bench.svg

bench-go: ## Go benchmarks, for benchstat
	$(GO) test ./fib ./dataplane/soft -run '^$$' -bench . -cpu 1

bench-fib: ## the FIB beside its peers in one run, as root; FORMAT=table or json
	@$(GO) run ./test/fibbench -format $(FORMAT)

bench-forward: ## forwarding beside Linux's and other XDP programs' in one run, as root; FORMAT=table or json
	@$(GO) run ./test/forwardbench -format $(FORMAT)

bench-routes: ## routes by BGP and FPM beside FRR, BIRD and GoBGP: the Internet's table, and how soon packets follow; as root
	$(GO) test ./control/export ./test/bgp ./test/fpm ./test/convergence -run '^$$' -bench 'Export|FullTable|Convergence' -benchtime 1x -p 1 -timeout 2h

bench-designs: ## the designs that the FIB was chosen from, as root; FORMAT=table or json
	@$(GO) run ./test/fibbench -designs -format $(FORMAT) -only '^bpf/.*/(weft|weft_compact|floor|design_.*)$$'

lint: ## check the style of Go and C
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run $(LINT) run ./...
	clang-format-19 --dry-run --Werror $$(git ls-files '*.c' '*.h')

fmt: ## put Go and C into shape
	gofmt -w $$(git ls-files '*.go')
	clang-format-19 -i $$(git ls-files '*.c' '*.h')

clean: ## remove what building and testing left
	$(GO) clean ./...
	rm -rf build
