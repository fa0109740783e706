# make setup   virtual environment, locked packages, metanas itself
# make demo    a search on real images, on Ray, tracked in MLflow
# make ui      MLflow's page on what the searches have written
# make check   lint, types, import contract, fast tests
# make test    the same with all tests
# make lock    renew requirements.lock

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: setup demo ui check test lint lock clean

setup: $(STAMP)

# --no-deps: the lock is whole, and qpth's bound on numpy would refuse it otherwise.
$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(STAMP)

demo: setup
	$(BIN)/metanas search mnist5k --trials 24 --epochs 3 --json

ui: setup
	$(BIN)/metanas ui

lint: setup
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo > .import-contract.txt || { cat .import-contract.txt; exit 1; }

check: lint
	$(BIN)/pytest -m "not slow"

test: lint
	$(BIN)/pytest

# uv resolves for all platforms; learn2learn's C files only compile with its own Cython
# path switched on.
lock: setup
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --no-annotate --no-header \
		--quiet --output-file requirements.lock --upgrade
	sed -i -E 's/^(learn2learn==[^ ]+)$$/\1 --config-settings="--build-option=build_ext"/' \
		requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info platform/*.egg-info
