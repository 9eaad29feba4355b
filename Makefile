# `make demo` and `make test` need nothing but Python 3.11-3.13 and make: each sets up .venv by itself, once.
# Another Python: make PYTHON=/path/to/python3.12 demo

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
DEMO := tilegrn-demo
PYTHON ?=
PYTEST_ARGS ?=
# LOCK=.ci/lock.txt: exactly the files that CI tests with, by their SHA-256 (tools/lock.py), before anything else is asked for.
LOCK ?=
# LOCKED=1: end where they cannot be had.
LOCKED ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The tested versions first; without them what pip finds. $(1): arguments of pip install.
install = $(BIN)/python -m pip install -qq -c constraints.txt $(1) || { \
	echo "The tested versions of constraints.txt cannot be had here; taking what pip finds."; \
	$(BIN)/python -m pip install -qq $(1); }

# A bare environment. $(1): its folder, $(2): Python versions in order of preference.
environment = python="$(PYTHON)" && { [ -n "$$python" ] || python=$$(tools/find-python $(2)); } && \
	"$$python" -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else "tilegrn needs Python 3.11, 3.12 or 3.13; %s is %d.%d" % (sys.executable, *sys.version_info[:2]))' && \
	echo "Setting up $(1) with $$("$$python" --version) ..." && \
	"$$python" -m venv --clear $(1) && \
	$(1)/bin/python -m pip install -qq --upgrade "pip>=25.1"

.PHONY: help
help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 14

$(VENV)/.made:
	@$(call environment,$(VENV),3.11 3.12 3.13)
	@touch $@

$(VENV)/.package: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing tilegrn and what it needs into $(VENV) (a few minutes the first time) ..."
	@[ -z "$(LOCK)" ] || $(BIN)/python -m pip install -qq --require-hashes --no-deps -r $(LOCK) || { \
		echo "The files of $(LOCK) cannot be had here: versions are not held."; [ -z "$(LOCKED)" ]; }
	@$(call install,--editable .)
	@touch $@

$(VENV)/.test: $(VENV)/.package
	@echo "Installing the test tools ..."
	@$(call install,--group test)
	@touch $@

$(VENV)/.dev: $(VENV)/.test
	@echo "Installing the linters ..."
	@$(call install,--group dev)
	@touch $@

$(VENV)/.doc: $(VENV)/.package
	@echo "Installing the documentation tools ..."
	@$(call install,--group doc)
	@touch $@

.PHONY: demo
demo: $(VENV)/.package  ## the main job on simulated data: window matrices, model, predictions, scorecard, figures
	$(BIN)/tilegrn demo $(DEMO) --force

.PHONY: test
test: $(VENV)/.test  ## the whole test suite
	$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: lint
lint: $(VENV)/.dev  ## ruff and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

.PHONY: types
types: $(VENV)/.dev  ## mypy, strict
	$(BIN)/mypy

.PHONY: docs
docs: $(VENV)/.doc  ## the documentation, into docs/_build, and its links
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	$(BIN)/python tools/check_links.py docs/_build/html
	@echo "Open docs/_build/html/index.html"

.PHONY: notebooks
notebooks: $(VENV)/.doc  ## run the notebooks anew and keep their outputs
	$(BIN)/python tools/run_notebooks.py

.PHONY: check-notebooks
check-notebooks: $(VENV)/.doc  ## run the notebooks anew and keep nothing
	$(BIN)/python tools/run_notebooks.py --check

.PHONY: bench
bench: $(VENV)/.test  ## the benchmarks
	for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

.PHONY: new
new:  ## what depends on versions and needs no torch, with the newest versions of everything else, on Python 3.13 or 3.12
	@$(MAKE) --no-print-directory torchless LEG=.venv-new LEG_PYTHONS="3.13 3.12" LEG_VERSIONS=

.PHONY: min
min:  ## the same with the oldest versions that pyproject.toml allows, on Python 3.11
	@$(MAKE) --no-print-directory torchless LEG=.venv-min LEG_PYTHONS="3.11" LEG_VERSIONS=--floors

# In a folder of its own before .venv's on the path. torch has no such leg: its older builds are gigabytes.
.PHONY: lightning
lightning: $(VENV)/.test  ## training with the oldest lightning that pyproject.toml allows
	$(BIN)/python -m pip install -qq --no-deps --upgrade --target .venv-lightning \
		"$$($(BIN)/python tools/dependencies.py --floors --only lightning)"
	PYTHONPATH=.venv-lightning $(BIN)/python -c 'import lightning as l, sys; print("lightning", l.__version__); sys.exit(".venv-lightning" not in l.__file__)'
	PYTHONPATH=.venv-lightning $(BIN)/python -m pytest -m "not slow" tests/tl/training/test_train.py $(PYTEST_ARGS)

LEG ?= .venv-new
LEG_PYTHONS ?= 3.13 3.12
LEG_VERSIONS ?=
# Left to `make test`: what is the same whatever the versions (tables of names, processes, HOMER's own output), and what is
# slow. The scanner is compiled here by another numba, so its rule is tried, on fewer examples.
LEG_TESTS := -m "not slow" $(addprefix --ignore=tests/,model motifs/test_resolve.py motifs/test_homer_golden.py \
	io/test_run_homer.py test_symbols.py)

$(LEG)/.installed: pyproject.toml tools/dependencies.py
	@$(call environment,$(LEG),$(LEG_PYTHONS))
	@$(LEG)/bin/python tools/dependencies.py $(LEG_VERSIONS) --without torch lightning > $(LEG)/requirements.txt
	@$(LEG)/bin/python -m pip install -qq -r $(LEG)/requirements.txt --group test
	@touch $@

# From a wheel, not editable, so that a file missing in the wheel is noticed.
.PHONY: torchless
torchless: $(LEG)/.installed
	@$(LEG)/bin/python -m pip install -qq --no-deps --force-reinstall .
	@$(LEG)/bin/python -c 'import sys; from importlib.metadata import version as v; from importlib.util import find_spec; print("Python", sys.version.split()[0], *(f"{n} {v(n)}" for n in ("anndata", "mudata", "numpy", "pandas", "scipy"))); sys.exit("torch is installed here" if find_spec("torch") or find_spec("lightning") else None)'
	TILEGRN_SCAN_EXAMPLES=20 $(LEG)/bin/python -m pytest $(LEG_TESTS) $(PYTEST_ARGS)

.PHONY: clean
clean:  ## remove all that make made
	rm -rf .venv .venv-new .venv-min .venv-lightning $(DEMO) docs/_build docs/api/generated .coverage .mypy_cache .pytest_cache .ruff_cache
