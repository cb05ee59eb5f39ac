# Everything here works on the embedded world alone: no cluster, engine or Temporal that the caller's environment names
# is ever touched. `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-unit test-lowest check up down bench status bootstrap packages

unexport KUBECONFIG DOCKER_HOST DOCKER_CONTEXT
unexport $(filter TEMPORAL_%,$(.VARIABLES))
# Python comes from the machine: nothing may be downloaded but packages.
export UV_PYTHON_DOWNLOADS := never

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/prover-world
UV := $(or $(shell command -v uv),$(CACHE)/uv/bin/uv)
export PATH := $(dir $(UV)):$(PATH)
RUN := $(UV) run --no-sync

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | column -t -s $$'\t'

demo: bootstrap packages ## deploy a fleet of provers in the embedded world and show it
	$(RUN) python -m sandbox demo

test: bootstrap packages ## everything: checks, two embedded worlds for tests, all tests; prints stage times
	$(RUN) python -m tests.suite

test-unit: bootstrap ## unit and replay tests, without a world
	$(RUN) pytest -q --durations=10 tests/unit tests/replay

test-lowest: bootstrap ## unit tests with the lowest versions that pyproject.toml allows; once a release
	place=$$(mktemp -d); trap 'rm -rf $$place' EXIT; \
	$(UV) venv --quiet $$place/venv; export VIRTUAL_ENV=$$place/venv; \
	$(UV) pip install --quiet --resolution lowest-direct -r pyproject.toml --group world --group test; \
	$(UV) pip install --quiet --no-deps --editable .; \
	$$place/venv/bin/python -m pytest -q -p no:cacheprovider tests/unit tests/replay

check: bootstrap ## style, types, architecture, documentation
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) mkdocs build --strict -q

up: bootstrap packages ## bring the embedded world up, or repair it
	$(RUN) python -m sandbox up

down: bootstrap ## remove the embedded worlds, also those of the tests; only caches stay
	$(RUN) python -m sandbox down
	PROVER_WORLD=test $(RUN) python -m sandbox down
	PROVER_WORLD=test2 $(RUN) python -m sandbox down

status: bootstrap ## show what of the embedded world runs
	$(RUN) python -m sandbox status

bench: bootstrap packages ## run all benchmarks in the embedded world
	$(RUN) python -m bench all

bootstrap: $(UV)
	@$(UV) sync --quiet --locked

$(CACHE)/uv/bin/uv:
	@echo "no uv on PATH: installing it from PyPI into $(CACHE)/uv"
	@python3 -m venv $(CACHE)/uv 2>/dev/null || python3 -m pip install --quiet --target $(CACHE)/uv uv
	@test -x $@ || $(CACHE)/uv/bin/python -m pip install --quiet uv

packages:
	@./sandbox/packages
