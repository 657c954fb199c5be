# `make demo` and `make test` need nothing but Python 3.11 with venv and pip: the rest they install
# themselves, into .venv* in this directory, the first time.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv/bin
CODE := src tests tools bench
ARGS ?=

# What the caller's shell has activated must not leak into our environments.
unexport PYTHONPATH VIRTUAL_ENV
ifneq ($(origin PYTHONS),undefined)
export HOLDFAST_PYTHONS = $(PYTHONS)
endif
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo setup check fix test engines browser rows mutation bench clean

help: ## show this
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo 'ARGS="..." passes arguments on: make test ARGS="tests/core -x"'
	@echo 'PYTHON=python3.12 chooses the Python; PYTHONS="3.13" which others test runs on, PYTHONS= none.'

demo: .python ## five charges without holdfast, one with it, by kill -9
	@$(PYTHON) tools/environment.py .venv-demo --extra demo
	@.venv-demo/bin/holdfast demo $(ARGS)

setup: .python ## make .venv with all that development needs
	@$(PYTHON) tools/environment.py .venv --extra all --group dev

check: setup ## format, lint, layers, sizes, types
	$(VENV)/ruff format --check $(CODE)
	$(VENV)/ruff check $(CODE)
	$(VENV)/lint-imports --no-logo
	$(VENV)/python tools/sizes.py
	$(VENV)/mypy
	$(VENV)/pyright

fix: setup ## format, and mend what the linter can mend
	$(VENV)/ruff format $(CODE)
	$(VENV)/ruff check --fix $(CODE)

test: setup ## all tests, then the quick ones on the other Pythons here
	@$(VENV)/python tools/run_tests.py $(ARGS)

engines: setup ## workflows on engines that are not ours; fails where they cannot be had
	@HOLDFAST_ENGINES=require $(VENV)/python -m pytest tests/engines -q --durations=5 $(ARGS)

browser: setup ## the console in a real Chromium; fails where there is none and none may be installed
	@HOLDFAST_BROWSER=require $(VENV)/python -m pytest tests/console tests/cli/test_cli_console.py -q --durations=5 $(ARGS)

rows: .python ## which tests show which requirement; fails if one is not shown
	@$(PYTHON) tools/rows.py $(ARGS)

mutation: setup ## plant known bugs and demand that the tests notice
	@$(VENV)/python tools/mutation.py $(ARGS)

bench: setup ## compare with the floor and with other libraries (long; a quiet machine)
	@$(VENV)/python bench/run.py $(ARGS)

clean: ## remove environments and caches
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build

.PHONY: .python
.python:
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "holdfast needs Python 3.11 or newer; name yours: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
