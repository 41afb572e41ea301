# The commands of this project. Each installs what it needs (Debian 12 and 13, as root or with sudo) and then does its work.
.DEFAULT_GOAL := help
SECONDS ?= 3600
.PHONY: help build demo test unit e2e chaos soak sanitize lint format fuzz simulate kube bench clean

help:  ## this list
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build:  ## the programs, into bin/
	tools/install-packages build
	tools/build release

demo: build  ## the story: a broker, a cluster, a provider, an informer, and a broker that dies in the middle
	tools/install-packages demo
	tools/demo

test:  ## everything that CI runs, with a table of what took how long
	tools/run-tests

unit: build  ## unit, contract, simulation and integration tests
	ctest --test-dir build/release --output-on-failure -j 2

e2e: build kube  ## end to end on real parts
	tools/install-packages test
	python3 tests/e2e

chaos: build kube  ## ten minutes of faults on real parts, two at a time, told in build/chaos-report.txt
	tools/install-packages test
	TINF_CHAOS_SECONDS=600 python3 tests/e2e test_chaos.Chaos && cat build/chaos-report.txt

soak: build kube  ## an hour (SECONDS=3600) under load with a broker that dies every few minutes; PLOT=docs/soak.svg draws it
	tools/install-packages test
	python3 tests/soak --seconds $(SECONDS) $(if $(PLOT),--plot $(PLOT))

sanitize:  ## unit and integration tests with the address, undefined behaviour and thread sanitizers
	tools/install-packages build test
	tools/run-tests asan tsan

lint:  ## layers, format and clang-tidy
	tools/install-packages build lint
	tools/lint

format:  ## puts every source into form
	tools/install-packages lint
	git ls-files '*.h' '*.cpp' | xargs clang-format-14 -i

fuzz:  ## fuzz targets, an hour each, as many at a time as there are cores
	tools/install-packages build test
	tools/fuzz 3600

simulate: build  ## ten thousand histories of the protocol, as many of whole systems, five thousand clusters at once
	TINF_SIMULATION_HISTORIES=10000 build/release/tests/simulation/simulation_test
	TINF_SYSTEM_HISTORIES=10000 build/release/tests/simulation/system_test
	TINF_PACING_CLUSTERS=5000 build/release/tests/integration/integration_test --gtest_filter='Pacing.*'

kube:  ## a real control plane (kube-apiserver, etcd, kubectl) in the user's cache
	tools/install-packages test
	tools/real-kube

bench: build kube  ## measurements beside client-go and kube-rs, of growth and of silence, into docs/performance.md (25 minutes)
	python3 bench/run

clean:  ## removes what was built here
	rm -rf build bin
