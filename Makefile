# Two commands matter: `make demo` and `make test`. Each sets up all that it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed-from-lock
PORT ?= 8000
# URL of a package index whose torch comes without CUDA, such as PyTorch's for CPUs. Empty: torch from PyPI, as locked.
TORCH_INDEX ?=
TORCH_OF_LOCK = (torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+)==
# Two, with the type checker beside them, keep two cores busy.
TEST_PROCESSES ?= 2
# If the environment forbids bytecode, each of a hundred processes compiles torch's sources again.
export PYTHONDONTWRITEBYTECODE :=
BENCHMARKS = $(shell grep -rl --include='*.py' 'run_benchmark.rows' benchmarks/*/ | sort | sed 's/\.py$$//; s|/|.|g')
TRAIN_DEMO = $(BIN)/clairo-train run --preset clairo --data demo/shop --set mix.max_users=1000 \
  --set dense.encoder=recurrent --set evaluate.max_users=500

.DEFAULT_GOAL := help
.PHONY: install demo demo-bundle test pytest lint bench soak schemathesis supply client film pages docs lock clean help

help:            ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/  /' | sort

install: $(INSTALLED)  ## create .venv, exactly as in requirements.lock

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "CLAIRO needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 install")'
	$(PYTHON) -m venv $(VENV)
ifeq ($(TORCH_INDEX),)
	@test "$$(uname)" != Linux || command -v nvidia-smi > /dev/null || echo 'No GPU found: make install TORCH_INDEX=URL installs torch without CUDA, 4.5 GB less; see README.md, "Start"'
	$(BIN)/pip install --quiet --no-compile --require-hashes -r requirements.lock
else
	$(BIN)/pip install --quiet --no-compile --no-deps --index-url $(TORCH_INDEX) $$(grep -oE '^torch(vision)?==[^ ]+' requirements.lock)
	awk '/^[a-z0-9]/ { is_torch = /^$(TORCH_OF_LOCK)/ } !is_torch' requirements.lock > $(VENV)/without-torch.lock
	$(BIN)/pip install --quiet --no-compile --no-deps --require-hashes -r $(VENV)/without-torch.lock
endif
	$(BIN)/pip install --quiet --no-deps --editable .
	$(BIN)/python -m training.vocabulary.compile_kernels
	@touch $@

demo: demo-bundle  ## train a bundle on the built-in demo shop, serve it, print the playground's address
	$(BIN)/clairo-serve run --bundle bundles/demo --port $(PORT) --data-dir demo/service

demo-bundle: install  ## train that bundle, unless bundles/demo exists
	@test -f demo/shop/dataset.toml || $(BIN)/clairo-train demo-data --out demo/shop
	@test -f bundles/demo/manifest.json || $(TRAIN_DEMO) --with-users --out bundles/demo

test: install  ## run lint and all tests
	@.ci/browser
	@$(MAKE) --no-print-directory -j 2 lint pytest

pytest: install  ## run the tests alone
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

lint: install  ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: demo-bundle  ## run every benchmark in its short form
	@test -f bundles/demo-measured/manifest.json || $(TRAIN_DEMO) --no-refit --out bundles/demo-measured
	@failed=; for name in $(BENCHMARKS); do \
	  echo "== $$name"; $(BIN)/python -m $$name --quick || failed="$$failed $$name"; done; \
	  test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

soak: demo-bundle  ## run load, faults and generated requests for an hour; make test runs seconds of each
	$(BIN)/python -m benchmarks.shop.load
	$(BIN)/python -m benchmarks.shop.faults
	$(BIN)/python -m benchmarks.speed.soak
	$(MAKE) schemathesis

schemathesis: install  ## send at least ten thousand generated requests, with all checks
	SCHEMATHESIS_CASES=350 $(BIN)/python -m pytest -rP tests/e2e/test_schemathesis.py

supply: install  ## check the wheel, each extra, licences, known faults; write an SBOM
	$(BIN)/python .ci/supply.py

client: install  ## write clairo_client/answers.py again from the OpenAPI document
	$(BIN)/python -m tests.client_answers

film: install    ## write README's picture and film from a fresh make demo
	$(BIN)/python -m tests.e2e.playground_film

pages: install   ## write the pages of docs/ that follow from the code
	$(BIN)/python -m tests.generated_pages

docs: install    ## build the documentation into site/
	@PATH="$(CURDIR)/$(BIN):$$PATH" .ci/site
	@echo 'Open site/index.html, or with its search: python3 -m http.server --directory site'

lock:            ## write requirements.lock again (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file requirements.lock

clean:           ## remove everything that the other commands write
	rm -rf $(VENV) bundles demo build site .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
