# The checkout is the practice competition: its stages, and what keeps the code in order.
# `folds` and `submissions` are folders too, so every target is phony but the environment.
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

help:            ## print this
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

# A folder .venv that an interrupted setup left without Python or pip is made again.
setup: .venv/installed  ## make .venv with the locked packages and the kit
.venv/installed: requirements.lock pyproject.toml
ifdef UV
	@$(BIN)/python -c "" 2>/dev/null || { rm -rf .venv && uv venv -q --python $(PYTHON) .venv; }
	uv pip sync -q --compile-bytecode --python $(BIN)/python requirements.lock
	uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install -q --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
endif
	@touch $@

clean-data: setup  ## drop copies, contamination and unreadable images
	@$(KIT) clean
folds: setup     ## stratified folds that no group crosses
	@$(KIT) folds
train-all: setup  ## every run on every fold, what is missing of it
	@$(KIT) train
ensemble: setup  ## blend from out-of-fold predictions
	@$(KIT) ensemble
bundle: setup    ## the zip, proven to run
	@$(KIT) bundle
submit: setup    ## send it once, wait for the score
	@$(KIT) submit
lb: setup        ## the leaderboard, cross-validation beside it
	@$(KIT) lb

test: setup      ## all tests but the slow ones, on two processors about ten minutes
	$(PYTEST)
fast: setup      ## tests without TensorFlow and without faults, in half a minute
	$(PYTEST) -m "not tf and not matrix and not slow and not compat"
slow: setup      ## tests of minutes to hours; goes on where it was stopped
	$(BIN)/python -m pytest -m slow --resume
compat: setup    ## other library versions, in throw-away environments; goes on too
	$(BIN)/python -m pytest -m compat --resume
lint: setup      ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
types: setup     ## strict types outside the TensorFlow files
	$(BIN)/mypy
check: lint types test  ## what continuous integration runs
bench: setup     ## the benchmarks, with a hint what each needs
	@for file in benchmarks/*.py; do printf '%s: ' $$file; $(BIN)/python -c "import ast,sys; print((ast.get_docstring(ast.parse(open(sys.argv[1]).read())) or '').splitlines()[0])" $$file; done
docs: setup      ## write docs/reference.md and the snapshots of the terminal anew
	$(BIN)/python docs/reference.py
	KIT_SNAPSHOTS=write $(BIN)/python -m pytest tests/test_terminal.py -k "help or say"
lock:            ## pin the newest versions that fit pyproject.toml (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev --extra ray pyproject.toml -o requirements.lock
