# The manual is `make help`; what a target does stands behind its `##`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PYTHON := .venv/bin/python

.PHONY: help demo test setup test-unit test-compiled test-integration test-e2e test-full test-vllm-args fuzz vllm-options check fmt generate lock clean planner-accuracy \
	cluster-up cluster-down images soak bench

help: ## Show this manual
	@awk -f tools/help.awk $(MAKEFILE_LIST)

##@ Start here

demo: setup ## Cluster, images, chart, one HybridInference: prompts answered by vLLM and by an external API (first time 20 min, then 3)
	@demo/run

test: setup ## Install what is needed and run every test that needs no GPU (first time up to 40 min)
	@$(PYTHON) -m tools.test

##@ Develop

setup: ## Make .venv with hinf and hinf-router from locked dependencies (30 s, then at once)
	@tools/setup

test-unit: setup ## Run the tests that need no cluster (4 min)
	@$(PYTHON) -m tools.test unit

test-compiled: setup ## Compile the router's hot path as its image has it, and run the router's unit tests on that (5 min)
	@$(PYTHON) -m tools.test compiled

test-integration: setup ## Run the tests against a real API server (10 min, with the cluster up)
	@$(PYTHON) -m tools.test integration

test-e2e: setup ## Run the tests with a real vLLM on the cluster (10 min, with the cluster up)
	@$(PYTHON) -m tools.test e2e

test-full: setup ## Run what `make test` runs, with 20 cold starts, and then chaos with 100,000 requests (1.5 h)
	@HINF_FULL=1 HINF_COLD_STARTS=$${HINF_COLD_STARTS:-20} $(PYTHON) -m tools.test
	@$(PYTHON) -m tests.perf.chaos --requests 100000

test-vllm-args: setup ## Parse every argv that is rendered with the real parsers of six vLLM releases, 0.8.5 to the newest (3 min)
	@$(PYTHON) -m tests.vllm_args.releases check 0.8.5 0.9.2 0.10.2 0.18.0 0.25.0 0.32.0

fuzz: setup ## Look for bytes that break wire code, with hypothesis and atheris; MINUTES=60 for longer (5 min)
	@$(PYTHON) -m tests.fuzz.run --minutes $(or $(MINUTES),5)

vllm-options: setup ## Read from vLLM's parsers which release has which option, for the operator's data file (10 min)
	@$(PYTHON) -m tests.vllm_args.releases collect 0.8.5 0.9.2 0.10.2 0.11.2 0.12.0 0.14.1 0.16.0 0.17.1 0.18.0 0.20.2 0.22.1 0.25.0 \
	  0.28.0 0.30.0 0.32.0

check: setup ## Formatting, lint, types, layers, sizes, generated files, docs, scripts, addresses (1 min)
	@$(PYTHON) -m tools.check

fmt: setup ## Format the code and mend what the linter can mend (1 s)
	@.venv/bin/ruff check --quiet --fix-only .
	@.venv/bin/ruff format --quiet .

generate: setup ## Write the CRD, the chart's copy of it and the reference docs from the types (2 s)
	@$(PYTHON) -m hybrid_operator.api.generate

lock: setup ## Resolve pyproject.toml into requirements/ with hashes; UPGRADE=1 takes the latest versions (10 s)
	@tools/lock

clean: ## Remove build outputs and caches; .venv, the cluster and $HINF_CACHE stay (1 s)
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find demo operator router tools tests -name __pycache__ -type d -prune -exec rm -rf {} +

planner-accuracy: setup ## Hold the planner against vLLM's own code and write docs/planner-accuracy.md (20 min)
	@tests/accuracy/run

##@ Cluster

cluster-up: setup ## Start the cluster of the demo and the tests; harmless when it is up (first time 12 min, then 30 s)
	@tests/cluster/up

cluster-down: ## Take the cluster down; no process, mount, link or rule stays behind (10 s)
	@tests/cluster/down

images: setup ## Build the images of the router and the operator with Docker or buildah (2 min)
	@tools/images

##@ Measure

soak: setup ## A week in an hour: a router under changing tables and bad backends stays flat; MINUTES=60 for the week (10 min)
	@$(PYTHON) -m tests.perf.soak --minutes $(or $(MINUTES),10)

bench: ## List the benchmarks; `make bench-NAME` runs one and writes build/bench/NAME.json and NAME.md
	@found=0; for script in tests/perf/bench_*.py; do \
	  if [[ -f $$script ]]; then name=$${script##*/bench_}; name=$${name%.py}; \
	    echo "make bench-$${name//_/-}"; found=1; fi; done; \
	if [[ $$found = 0 ]]; then echo "There is no benchmark yet: they will stand in tests/perf."; fi

bench-%: setup
	@name='$*'; module=bench_$${name//-/_}; \
	if [[ ! -f tests/perf/$$module.py ]]; then \
	  echo "There is no benchmark $$name; make bench lists what there is." >&2; exit 2; fi; \
	exec $(PYTHON) -m tests.perf.$$module
