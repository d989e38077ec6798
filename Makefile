# The front door. meson.build knows how things are built; this file knows what people type.

B ?= build
# $(call prove,BUILD,TESTS)
prove = BUILD=$(1) JOULETAP=$(abspath $(1))/jouletap prove -e '' -j2 -r $(2)

all: $(B)/build.ninja ## build everything into build/
	@ninja -C $(B)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 24

demo: build-deps all ## joules per request on this machine, in a minute
	@$(B)/jouletap demo

run: all ## the gateway, with the configuration C=FILE
	$(B)/jouletap serve -c $(or $(C),$(error which configuration? make run C=FILE))

check: test-deps all ## every test; also called test
	@$(call prove,$(B),$(B)/tests tests/integration)

test: check

asan: test-deps ## every test with address and undefined-behaviour sanitizers
	@[ -f build-asan/build.ninja ] || meson setup build-asan -Dwerror=true -Db_sanitize=address,undefined
	@ninja -C build-asan
	@$(call prove,build-asan,build-asan/tests tests/integration)

# The OpenMP that XGBoost's library uses locks in ways that the sanitizer does not see: one thread has no race.
tsan: export OMP_NUM_THREADS = 1
tsan: clang-deps ## the unit tests and the gateway with the thread sanitizer
	@[ -f build-tsan/build.ninja ] || CC=clang meson setup build-tsan -Db_sanitize=thread -Db_lundef=false
	@ninja -C build-tsan
	@$(call prove,build-tsan,build-tsan/tests/unit $(wildcard tests/integration/4*.t))

fuzz: clang-deps ## each fuzzer for T=60 seconds
	@[ -f build-fuzz/build.ninja ] || CC=clang meson setup build-fuzz -Dfuzzers=true -Db_sanitize=address,undefined -Db_lundef=false
	@ninja -C build-fuzz
	@scripts/fuzz build-fuzz $(or $(T),60)

bench: build-deps ## one line of JSON for each measurement, of an optimised build
	@[ -f build-bench/build.ninja ] || meson setup build-bench --buildtype=release -Db_lto=true
	@ninja -C build-bench
	@for b in build-bench/bench/bench_*; do if [ -f $$b ] && [ -x $$b ]; then $$b || exit 1; fi; done

accuracy: accuracy-deps $(B)/build.ninja ## docs/accuracy.md and its plots: windows against a truth that is known
	@ninja -C $(B) bench/accuracy
	@bench/accuracy/report.py $(B)/bench/accuracy docs

attribution: build-deps $(B)/build.ninja ## the tables of docs/attribution.md: policies against what requests caused; D=DIR adds servers
	@ninja -C $(B) bench/attribution
	@bench/attribution/report.py $(B)/bench/attribution docs $(D)

predictor-report: build-deps $(B)/build.ninja ## docs/predictor.md, its plots and data/predictor/model.json: the predictor on rows left out; four minutes
	@ninja -C $(B) jouletap
	@$(B)/jouletap train --data data/predictor/energy_tidy.csv --output data/predictor/model.json \
		--report docs/predictor.md --date 2026-11-21 \
		--note "ML.ENERGY v2 and v3, JouleBench, energy-bench; sources and licences in data/predictor/README.md"

bench-gateway: bench-deps ## the gateway beside nginx and HAProxy, of an optimised build; four minutes
	@[ -f build-bench/build.ninja ] || meson setup build-bench --buildtype=release -Db_lto=true
	@ninja -C build-bench jouletap bench/gateway-load
	@bench/gateway/run.py

bench-simulator: build-deps ## how fast simulate is, of an optimised build; two minutes; D=DIR of the reference's data
	@[ -f build-bench/build.ninja ] || meson setup build-bench --buildtype=release -Db_lto=true
	@ninja -C build-bench jouletap
	@bench/simulator/run.py $(if $(D),--data $(D))

sim-conformance: $(B)/build.ninja ## the simulator against all that the reference wrote: D=DIR of its data
	@ninja -C $(B) jouletap
	@JOULETAP=$(abspath $(B))/jouletap scripts/sim-conformance $(D)

fmt: ## format the sources as .clang-format says
	find src include tests bench examples -name '*.[ch]' | xargs clang-format -i

install: all ## install below PREFIX=/usr/local
	$(if $(PREFIX),meson configure $(B) -Dprefix=$(PREFIX))
	meson install -C $(B)

gdb: all ## the program under gdb: make gdb A="demo"
	gdb --args $(B)/jouletap $(A)

stats: ## longest files and functions
	@scripts/stats

clean: ## remove all builds
	rm -rf build build-asan build-tsan build-fuzz build-bench

%-deps:
	@scripts/deps $*

$(B)/build.ninja:
	meson setup $(B) -Dwerror=true

.NOTPARALLEL:
.PHONY: all help demo run check test asan tsan fuzz bench accuracy predictor-report attribution bench-gateway bench-simulator sim-conformance fmt install gdb stats clean
