# Nightledger on one machine: Python 3.11 or newer, make and git are all it needs.
PYTHON ?= python3
BIN := .venv/bin
# Files of tests at a time: two more than cores, since most of them wait for a system.
WORKERS ?= 4
# Leftovers of another Airflow, or a setting that makes every process compile its imports anew, stay outside.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME VIRTUAL_ENV AIRFLOW_HOME

.DEFAULT_GOAL := help
.PHONY: help night nights up down test lint bench faults cluster rollout newcomer clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

night: .venv/bin/nightledger ## one whole night and its morning report  [USE_CASE=name] [DATA=folder] [DATE=YYYY-MM-DD] [MODE=shadow|gated|auto]
	@$(BIN)/nightledger night $(if $(USE_CASE),"$(USE_CASE)") $(if $(DATA),--data "$(DATA)") $(if $(DATE),--date "$(DATE)") $(if $(MODE),--mode "$(MODE)")

nights: .venv/bin/nightledger ## one whole night of every use case  [DATE=YYYY-MM-DD] [MODE=shadow|gated|auto]
	@$(BIN)/nightledger nights $(if $(DATE),--date "$(DATE)") $(if $(MODE),--mode "$(MODE)")

up: .venv/bin/nightledger ## start everything and say where Airflow is  [DATA=folder]
	@$(BIN)/nightledger up $(if $(DATA),--data "$(DATA)")

down: .venv/bin/nightledger ## stop what this clone started
	@$(BIN)/nightledger down

test: lint ## lint, types and all tests
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: .venv/.dev ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.dev ## benchmarks, each against a baseline in the same run  [ONLY="files quality drift_found"]
	@for file in $(or $(ONLY:%=tests/bench/bench_%.py),tests/bench/bench_*.py); do echo "== $$file"; PYTHONPATH=.:plugins $(BIN)/python -W ignore $$file || exit 1; done

faults: .venv/.dev ## seeded histories of kills, outages and lies, each checked  [HISTORIES=200] [FIRST=1] [KIND=storm]
	@$(BIN)/python -W ignore -m tests.faults --histories $(or $(HISTORIES),200) --first $(or $(FIRST),1) $(if $(KIND),--kind "$(KIND)")

cluster: .venv/.cluster ## a night on two Celery workers, one of them killed; as root it installs Redis where that is missing
	@command -v redis-server >/dev/null || [ "$$(id -u)" != 0 ] || { apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server; }
	$(BIN)/python -m pytest -q -s -rs tests/cluster

rollout: .venv/.dev ## a prompt's way on a real scheduler: refused, shadow, gated, auto, back, asking off
	$(BIN)/python -m pytest -q -s -rs tests/e2e/test_rollout.py

newcomer: .venv/.dev ## the README word by word as a new user with an empty home and the system's Python
	$(BIN)/python -m pytest -q -s -rs tests/newcomer

clean: ## stop everything and remove what was made here
	@if [ -x $(BIN)/python ] && [ -d .nightledger ]; then $(BIN)/python -m include.demo.stack down || true; fi
	rm -rf .nightledger .venv .mypy_cache .ruff_cache .pytest_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Nightledger needs Python 3.11 or newer; say which: make PYTHON=/path/to/python3.11"; exit 1; }
	@[ -w . ] || { echo "$(CURDIR) cannot be written, and Nightledger installs into .venv there; clone it to where you may write"; exit 1; }
	$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==0.13.8 || echo "uv is not available; pip does it, slower"

# uv is quick, but knows nothing of pip's own settings (an index, a certificate): where it cannot, pip does it.
INSTALL = { [ -x $(BIN)/uv ] && $(BIN)/uv pip install -q --system-certs --compile-bytecode --python $(BIN)/python \
    -c constraints.txt -r $(1); } || \
  { echo "pip installs it, which takes some minutes"; \
    $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -r $(1); }

.venv/.runtime: requirements.txt requirements-sandbox.txt constraints.txt | .venv/bin/python
	@echo "Installing (a few minutes the first time) ..."
	@$(call INSTALL,requirements-sandbox.txt)
	@touch $@

.venv/bin/nightledger: include/demo/stack/nightledger .venv/.runtime
	@install -m 755 $< $@

.venv/.cluster: requirements-celery.txt .venv/.dev
	@$(call INSTALL,requirements-celery.txt)
	@touch $@

.venv/.dev: requirements-dev.txt requirements-s3.txt .venv/.runtime
	@$(call INSTALL,requirements-dev.txt)
	@touch $@
