# Every target sets up what it needs: a fresh machine needs Python 3.11 or newer and make, nothing else.

PYTHON ?=
ARGS ?=
# How many tests run at once; 0 runs them in pytest's own process, for a debugger.
JOBS ?= auto
VENV := .venv
BIN := $(VENV)/bin
FOREIGN := .venv-dstack
# Named for the place as well, because a virtual environment does not survive being moved or copied.
READY := $(VENV)/ready-$(shell pwd | cksum | cut -d ' ' -f 1)
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test incus dstack histories chaos check format bench lock

help: ## say what there is
	@sed -n 's/^\([a-z]*\):[^#]*## /\1#/p' $(MAKEFILE_LIST) | awk -F '#' '{ printf "  make %-9s %s\n", $$1, $$2 }'

setup: $(READY) ## make .venv with everything in it; the other targets do this by themselves
	@echo "$(VENV) is ready."

demo: $(READY) ## deploy, log in, stop, start and delete an instance for real, and print the receipt
	@$(BIN)/berth demo $(ARGS)

serve: $(READY) ## start a server that stays; options go in ARGS="--port 8080"
	@$(BIN)/berth serve $(ARGS)

test: $(READY) ## run the whole suite; pytest's options go in ARGS="-k ledger"
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

incus: $(READY) ## as root on Debian: install Incus, then run what needs a real cluster, in network namespaces
	@.ci/incus
	@BERTH_REQUIRE_ALL=1 $(BIN)/python -m pytest tests/drivers/incus tests/drivers/test_contract.py -k incus $(ARGS)

dstack: $(READY) $(FOREIGN)/ready ## let dstack, gpuhunt and SkyPilot buy from a simulated Berth, as they do from Verda
	@$(BIN)/python -m tests.clients $(FOREIGN)/bin/python

histories: $(READY) ## live 100,000 random histories on SQLite, by hand; more than an hour of one core
	@$(BIN)/python -m pytest tests/loops/test_histories.py -k sqlite --histories 100000 $(ARGS)

chaos: $(READY) ## kill and freeze replicas on PostgreSQL for five minutes; ARGS="--seconds 60 --seed 2"
	@$(BIN)/python -m tests.processes.chaos $(ARGS)

check: $(READY) ## lint, format, types, import contracts and house rules; seconds
	@failed=0; \
	$(BIN)/ruff check --quiet --output-format concise || failed=1; \
	$(BIN)/ruff format --check --quiet --output-format concise || { echo "Not formatted; run: $(BIN)/ruff format"; failed=1; }; \
	$(BIN)/mypy src tests $(if $(wildcard bench/*.py),bench) || failed=1; \
	$(BIN)/lint-imports --no-logo >$(VENV)/imports.txt || { cat $(VENV)/imports.txt; failed=1; }; \
	$(BIN)/python -m pytest --quiet --no-header tests/test_tidy.py || failed=1; \
	exit $$failed

format: $(READY) ## format, and fix what the linter can fix
	@$(BIN)/ruff check --fix --quiet --output-format concise; $(BIN)/ruff format --quiet

bench: $(READY) ## run the benchmarks beside their peers and print the table
	@$(BIN)/python -m bench $(ARGS)

lock: $(READY) ## resolve the dependencies again; ARGS=--upgrade for newer ones
	@$(LOCK) $(ARGS) pyproject.toml --group dev --output-file requirements-dev.lock
	@$(LOCK) pyproject.toml --constraint requirements-dev.lock --output-file requirements.lock
	@$(LOCK) $(ARGS) tests/clients/requirements.in --output-file tests/clients/requirements.lock

# Their own environment: what they need is heavy, and would decide which versions we have.
$(FOREIGN)/ready: tests/clients/requirements.lock $(READY)
	@echo "Setting up $(FOREIGN) (half a gigabyte; a minute or two) ..."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(FOREIGN)
	@$(BIN)/uv pip install --quiet --require-hashes --python $(FOREIGN)/bin/python -r tests/clients/requirements.lock
	@touch $@

$(READY): requirements-dev.lock pyproject.toml
	@set -eu; \
	new_enough='import sys; sys.exit(sys.version_info < (3, 11))'; \
	python=; \
	for candidate in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
		if "$$candidate" -c "$$new_enough" 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Berth needs Python 3.11 or newer and found none. Install it, or name it: make PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	if [ -e $@ ] && $(BIN)/python -c "$$new_enough" 2>/dev/null; then \
		echo "Bringing $(VENV) up to date ..."; \
	else \
		echo "Setting up $(VENV) with $$($$python --version) (once; a minute or two) ..."; \
		if $$python -c 'import ensurepip' 2>/dev/null; then without=; else without=--without-pip; fi; \
		$$python -m venv --clear $$without $(VENV); \
	fi; \
	pip="$(BIN)/python -m pip"; \
	if ! $$pip --version >/dev/null 2>&1; then \
		pip="$$python -m pip --python $(BIN)/python"; \
		if ! $$pip --version >/dev/null 2>&1; then \
			rm -rf $(VENV); \
			echo "This Python lacks the module venv (on Debian and Ubuntu: apt install python3-venv)." >&2; \
			exit 1; \
		fi; \
	fi; \
	quiet="--quiet --disable-pip-version-check --no-input --root-user-action=ignore"; \
	$$pip install $$quiet --require-hashes -r requirements-dev.lock; \
	$$pip install $$quiet --no-index --no-build-isolation --no-deps -e .; \
	touch $@
