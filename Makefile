# make demo     train a small UNet on real digits, show samples, print the identities that hold
# make test     format, lint, types and tests
# make lint     format, lint and types alone
# make mutants  change the core a little, some 9,000 times: do the tests notice? (hours; mutmut)
# make clean    remove the environment and what the commands wrote
#
# Each sets up what it needs in .venv. PYTHON chooses the interpreter (3.11 or later), TORCH the
# PyTorch to install, any from 2.6 on: make demo TORCH=torch==2.6.0, after make clean

PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint mutants clean

# One thread: images of 8 x 8 pixels are too small to share out, and sharing a busy core is slow.
demo: .venv/demo
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/diffcore demo

# One thread a process, since the tests run beside each other.
test: lint
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

lint: .venv/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

mutants: .venv/mutation
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/mutation.py

clean:
	rm -rf .venv runs dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	$(PYTHON) -m venv .venv

.venv/%: pyproject.toml | .venv/bin/python
	@echo "Setting up .venv for $* (PyTorch and more are downloaded once)"
	$(PIP) "$(TORCH)"
	$(PIP) --editable ".[$*]"
	@touch $@
