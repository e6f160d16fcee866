# The stages of the practice competition in this checkout, and the development tools.
# `folds` and `submissions` are also folders, so all targets except the environment are phony.
PYTHON ?= python3
BIN := .venv/bin
KIT := $(BIN)/kit
# Two workers, each of which loads TensorFlow once; a module's tests stay together. Compiled tests are kept: pytest
# rewrites 190 files otherwise, which takes longer than half of the fast tests.
WORKERS ?= 2
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder
UV := $(shell command -v uv 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help setup clean-data folds train-all ensemble bundle submit lb test fast slow compat lint types check bench docs lock

help:            ## print this help
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

# If an interrupted setup left .venv without Python or pip, it is created again. The lock names everything, so nothing
# is resolved, and pip would compile on one core what all cores compile; some packages bring files of Python 2.
setup: .venv/installed  ## create .venv with the locked packages and the kit
.venv/installed: requirements.lock pyproject.toml
ifdef UV
	@$(BIN)/python -c "" 2>/dev/null || { rm -rf .venv && uv venv -q --python $(PYTHON) .venv; }
	uv pip sync -q --compile-bytecode --python $(BIN)/python requirements.lock
	uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install -q --no-compile --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --no-compile --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -qq -j 0 $$($(BIN)/python -c "import site; print(*site.getsitepackages())") || true
endif
	@touch $@

clean-data: setup  ## drop copies, contamination and unreadable images
	@$(KIT) clean
folds: setup     ## split the data into stratified folds
	@$(KIT) folds
train-all: setup  ## train the runs on all folds that are missing
	@$(KIT) train
ensemble: setup  ## blend the runs using their out-of-fold predictions
	@$(KIT) ensemble
bundle: setup    ## build the zip and check that it runs
	@$(KIT) bundle
submit: setup    ## submit the zip once and wait for the score
	@$(KIT) submit
lb: setup        ## show the leaderboard next to cross-validation
	@$(KIT) lb

test: setup      ## all tests except the slow ones, about ten minutes on two cores
	$(PYTEST)
fast: setup      ## tests of functions and single files, in half a minute
	$(PYTEST) --fast
slow: setup      ## tests that take minutes to hours; can be resumed
	$(BIN)/python -m pytest -m slow --resume
compat: setup    ## other library versions, in temporary environments; can be resumed
	$(BIN)/python -m pytest -m compat --resume
lint: setup      ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
types: setup     ## strict types outside the TensorFlow files
	$(BIN)/mypy
check: lint types test  ## what continuous integration runs
bench: setup     ## list the benchmarks with a short description
	@for file in benchmarks/*.py; do printf '%s: ' $$file; $(BIN)/python -c "import ast,sys; print((ast.get_docstring(ast.parse(open(sys.argv[1]).read())) or '').splitlines()[0])" $$file; done
docs: setup      ## regenerate docs/reference.md and the terminal snapshots
	$(BIN)/python docs/reference.py
	KIT_SNAPSHOTS=write $(BIN)/python -m pytest tests/test_terminal.py -k "help or say"
lock:            ## pin the newest versions that fit pyproject.toml (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev --extra ray pyproject.toml -o requirements.lock
