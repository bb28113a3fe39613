# Two commands matter: `make demo` and `make test`. Each does all the set-up itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed-from-lock
PORT ?= 8000
# With the type checker beside them, two keep two cores busy.
TEST_PROCESSES ?= 2
# Where it forbids bytecode, every one of a hundred processes would compile torch's sources anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: install demo demo-bundle test pytest lint bench soak schemathesis lock clean help

help:            ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/  /' | sort

install: $(INSTALLED)  ## the virtual environment in .venv, exactly as requirements.lock says

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "CLAIRO needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 install")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --editable .
	$(BIN)/python -m training.vocabulary.compile_kernels
	@touch $@

demo: demo-bundle  ## train a small bundle on the built-in demo shop, serve it, print the playground's address
	$(BIN)/clairo-serve run --bundle bundles/demo --port $(PORT) --data-dir demo/service

demo-bundle: install
	@test -f demo/shop/dataset.toml || $(BIN)/clairo-train demo-data --out demo/shop
	@test -f bundles/demo/manifest.json || $(BIN)/clairo-train run --preset clairo --data demo/shop --out bundles/demo \
	  --set fit.max_epochs=6 --set mix.max_users=1000 --set dense.encoder=recurrent --set evaluate.max_users=500

test: install  ## everything that CI checks
	@.ci/browser
	@$(MAKE) --no-print-directory -j 2 lint pytest

pytest: install  ## the tests alone
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

lint: install  ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install  ## every benchmark in its short form
	@for name in $$(grep -rl 'run_benchmark(rows[,)]' benchmarks/*/ --include=*.py | sed 's/\.py$$//; s#/#.#g'); do \
	  echo "== $$name"; $(BIN)/python -m $$name --quick || exit 1; done

soak: demo-bundle  ## an hour of load, faults and generated requests: what make test does for seconds
	$(BIN)/python -m benchmarks.shop.load
	$(BIN)/python -m benchmarks.shop.faults
	$(BIN)/python -m benchmarks.shop.soak
	$(MAKE) schemathesis

schemathesis: install  ## ten thousand generated requests at least, all checks on
	SCHEMATHESIS_CASES=350 $(BIN)/python -m pytest -rP tests/e2e/test_schemathesis.py

lock:            ## write requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file requirements.lock

clean:           ## remove what the other commands made
	rm -rf $(VENV) bundles demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
