# SPDX-License-Identifier: Apache-2.0
# make run    install what is missing, build, start the suite with a demo network, stay up until Ctrl-C
# make test   install what is missing, build everything, run every test
# make        build the product

SHELL = /bin/bash
JOBS ?= $(shell nproc)
NINJA = ninja -j $(JOBS) -C
SANITIZE = -Dbuildtype=debug -Db_sanitize=address,undefined -Db_lundef=false

all: build

run: deps-run build
	tools/run.sh

test: deps-test build build-asan
	tools/test.sh

build: web/dist/.stamp build-gcc/build.ninja
	$(NINJA) build-gcc

build-asan: web/dist/.stamp build-asan/build.ninja
	$(NINJA) build-asan

build-fuzz: web/dist/.stamp build-fuzz/build.ninja
	$(NINJA) build-fuzz

deps-run:
	tools/install-deps.sh run

deps-test:
	tools/install-deps.sh test

deps-bench:
	tools/install-deps.sh bench

web/node_modules/.stamp: web/package.json web/package-lock.json
	cd web && npm ci --no-audit --no-fund && touch node_modules/.stamp

web/dist/.stamp: web/node_modules/.stamp $(shell find web -path web/node_modules -prune -o -path web/dist -prune -o -type f -print)
	cd web && npm run build && touch dist/.stamp

tests/e2e/node_modules/.stamp: tests/e2e/package.json tests/e2e/package-lock.json
	cd tests/e2e && npm ci --no-audit --no-fund && touch node_modules/.stamp

build-gcc/build.ninja:
	CC=gcc meson setup build-gcc

build-asan/build.ninja:
	CC=clang meson setup build-asan $(SANITIZE)

build-fuzz/build.ninja:
	CC=clang meson setup build-fuzz -Dfuzz=true $(SANITIZE) -Dc_args=-fsanitize=fuzzer-no-link

# Each fuzz target for SECONDS seconds from its corpus; finds go to the current folder.
SECONDS_EACH ?= 60
fuzz: deps-test build-fuzz
	tools/fuzz.sh $(SECONDS_EACH)

# The product as it is, beside nginx with nchan, nats-server and redis, and beside floors of its own; BENCH=fanout only that one.
bench: deps-bench build
	meson setup --reconfigure build-gcc -Dbench=true >/dev/null
	$(NINJA) build-gcc
	tools/bench.sh $(BENCH)

soak: deps-test build tests/e2e/node_modules/.stamp
	DECNET_SOAK=1 tools/test.sh e2e

lint: deps-test build
	tools/lint.sh

install: build
	meson install -C build-gcc

clean:
	rm -rf build-gcc build-asan build-fuzz web/dist

.PHONY: all run test build build-asan build-fuzz deps-run deps-test deps-bench fuzz bench soak lint install clean
