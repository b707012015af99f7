# Each target installs what it needs into .venv, once. Another interpreter: make PYTHON=python3.12 pretrain
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help pretrain ablation results test test-full bench check guides install
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

pretrain: $(INSTALLED)  ## train the default model on phantom chests
	$(BIN)/simcrop train pretrain.yaml

ablation: $(INSTALLED)  ## which objectives are worth having: two or three hours on two cores; continues where it was stopped
	$(BIN)/python benchmarks/ablation.py

results: $(INSTALLED)  ## what pre-training is worth, by every evaluation: hours on two cores; continues where it was stopped
	$(BIN)/python benchmarks/evidence.py

test: $(INSTALLED)  ## every test that takes seconds, with coverage
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m "not slow" --cov --cov-report=term:skip-covered --cov-fail-under=90

test-full: $(INSTALLED)  ## the slow tests too
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

bench: $(INSTALLED)  ## the operations against PyTorch baselines: a table each, on a GPU if there is one
	$(BIN)/pytest benchmarks/ --benchmark-only -q

check: $(INSTALLED)  ## style, types and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

guides: $(INSTALLED)  ## docs/api.md and the tables of docs/configuration.md and docs/data-problems.md, from the code
	cd tests && for guide in api_guide configuration_guide problems_guide; do ../$(BIN)/python -m support.$$guide; done

install: $(INSTALLED)  ## the virtual environment alone

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "simcrop needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python simcrop/adapters/pages/niivue.py || true
	touch $@
