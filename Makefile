# Pride's commands. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
PRESET ?= first
ifndef RUN_NAME
RUN_NAME := $(PRESET)-$(shell date +%Y%m%d-%H%M%S)
endif
RUNS = $${PRIDE_RUNS:-runs}
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
TESTS ?= tests

.PHONY: help setup search test lint bench
.DEFAULT_GOAL := help

help:  ## list these commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## */  make \1|/' | column -t -s '|'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Pride needs Python 3.11 or newer; name one with: make PYTHON=python3.11")'
	@echo "making $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing Pride into $(VENV) (about a minute)" >&2
	@$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing what the tests need into $(VENV)" >&2
	@$(PIP_INSTALL) --editable '.[dev]'
	@touch $@

setup: $(VENV)/.installed  ## make .venv with the command `pride`

search: setup  ## search for an optimizer (preset `first`): some minutes on two cores
	@$(BIN)/pride search $(PRESET) --name $(RUN_NAME)
	@$(BIN)/pride export $(RUN_NAME):best --to optax --name found -o $(RUNS)/$(RUN_NAME)/found.py

test: $(VENV)/.installed-dev  ## run the tests, two files at a time
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(TESTS)

lint: $(VENV)/.installed-dev  ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/.installed-dev  ## time the parts of Pride
	@for file in tests/benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done
