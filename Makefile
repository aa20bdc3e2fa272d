# Everything runs in .venv, which every target makes for itself from constraints.txt.
# Another Python: make setup PYTHON=/usr/bin/python3.12

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
FOR_RUN := $(if $(wildcard $(READY)),$(READY),$(VENV)/.ready-to-run)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
TEST_WORKERS ?= 2
CHAOS_KILLS ?= 50
CHAOS_SEED ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test test-browser check lint types fmt chaos bench screenshots \
  lab lab-stop test-lab test-lab-small test-lab-failures test-lab-pv test-lab-conformance \
  test-lab-livepatch clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv from pinned versions, with the command xenroll in it

# Makes the environment and what every target needs of it.
define ENVIRONMENT
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: $(PYTHON) is not on PATH. On Debian 12: apt-get install python3.11 python3.11-venv;" >&2; \
	  echo "       or name another Python of at least 3.11: make setup PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is older than 3.11: make setup PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) cannot make a virtual environment (no venv or ensurepip)." >&2; \
	  echo "       On Debian 12: apt-get install python3.11-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) setuptools
endef

$(READY): pyproject.toml constraints.txt
	$(ENVIRONMENT)
	$(INSTALL) --no-build-isolation --editable '.[control,web,embedded,dev]'
	@touch $@

# make run begins the sooner without what only tests and checks need.
$(VENV)/.ready-to-run: pyproject.toml constraints.txt
	$(ENVIRONMENT)
	$(INSTALL) --no-build-isolation --editable '.[control,web,embedded]'
	@touch $@

run: $(FOR_RUN) ## roll an example fleet for an advisory, and watch (needs no Redis and no Xen)
	$(BIN)/python -m scheduler.demo $(ARGS)

test: $(READY) ## all tests that need nothing but what make setup installs
	$(BIN)/python -m pytest -m "not browser" -n $(TEST_WORKERS) --dist loadfile $(ARGS)

test-browser: $(READY) ## the dashboard in a real browser, alert rules (chromium, promtool)
	$(BIN)/python -m pytest -m browser $(ARGS)

check: lint types test test-browser ## what must be green before a change lands: lint, types, tests

lint: $(READY) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## mypy --strict
	$(BIN)/mypy

fmt: $(READY) ## put the code into ruff's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

chaos: $(READY) ## kill -9 everything, at random, 50 times during a rollout (CHAOS_SEED=n repeats one)
	CHAOS_KILLS=$(CHAOS_KILLS) CHAOS_SEED=$(CHAOS_SEED) $(BIN)/python -m pytest -s tests/test_chaos.py

screenshots: $(READY) ## the dashboard's pages as pictures, into deploy/screenshots (needs chromium)
	$(BIN)/python -m tests.service_screens deploy/screenshots

bench: $(READY) ## the planner against its bounds and Ganeti's hroller, the service under load
	$(BIN)/python -m tests.bench_planner $(ARGS)
	$(BIN)/python -m tests.bench_service

lab: $(READY) ## boot three real Xen hosts in QEMU (Debian, root; builds their images first)
	$(BIN)/python -m deploy.lab up

lab-stop: $(READY) ## end the lab: only what it started
	$(BIN)/python -m deploy.lab down

test-lab: $(READY) ## the whole job on three real Xen hosts: a rollout judged from outside
	$(BIN)/python -m pytest -s tests/lab_bad_input.py tests/lab_smoke.py tests/lab_rollout.py

test-lab-small: $(READY) ## the same on two hosts with two guests (in continuous integration)
	$(BIN)/python -m pytest -s tests/lab_small.py

test-lab-failures: $(READY) ## what goes wrong on real Xen, case by case, and what comes of it
	$(BIN)/python -m pytest -s tests/lab_failures.py $(ARGS)

test-lab-pv: $(READY) ## PV guests too, on Debian's Xen rebuilt with shadow paging
	$(BIN)/python -m pytest -s tests/lab_pv.py

test-lab-conformance: $(READY) ## what the stand-in xl is held to, on real Xen; pinning over a move
	$(BIN)/python -m pytest -s tests/lab_conformance.py tests/lab_tuning.py

test-lab-livepatch: $(READY) ## a live patch applied by the agent on real Xen (rebuilds Xen first)
	$(BIN)/python -m pytest -s tests/lab_livepatch.py

clean: ## remove what runs and tests left, but not .venv
	rm -rf .state .pytest_cache .mypy_cache .ruff_cache .hypothesis build
