# Everything a person types. `make help` lists it; the programs' own help is `tancho-relay --help` and `tancho-agent --help`.

SHELL := /bin/bash
target := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help demo test bench bench-wan sweep fuzz setup

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## A relay, two sites and a reading centre on this machine, with a head CT sent in (STUDY=path sends your own DICOM)
	@tests/setup demo
	@cargo build --locked --workspace --bins
	@$(target)/debug/tancho-demo $(if $(STUDY),--study "$(STUDY)")

test: ## Everything that must hold: format, borders, lints, documents, unit to browser tests
	@tests/setup test
	@tests/run

bench: ## The figures, with Orthanc measured in the same run; rewrites tests/bench/README.md
	@tests/setup test
	@cargo build --locked --release --workspace --bins
	@$(target)/release/tancho-bench

bench-wan: ## The same over emulated lines beside today's tools (root; WANLINK=path of the emulator); rewrites tests/bench/WAN.md
	@tests/setup bench-wan
	@cargo build --locked --release --workspace --bins
	@$(target)/test-tools/venv/bin/python tests/bench/wan/main.py

sweep: ## Both programs ended at every call that makes something durable, by kill and by power cut (root), and builds broken on purpose found out (POINTS=n for some points only, SEED=n)
	@tests/setup test
	@tests/sweep/run $(if $(POINTS),--points $(POINTS)) $(if $(SEED),--seed $(SEED))

fuzz: ## Mutated bytes against everything that reads a peer's, guided by coverage (FOR=seconds for each target, 600 by default)
	@tests/setup test
	@tests/fuzz/run $(or $(FOR),600)

setup: ## Install what the tests use beyond Rust and Node (Debian packages, Python and npm packages)
	@tests/setup test
