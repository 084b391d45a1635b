# Everything from a fresh machine: each target sets up what it needs in .venv, once, and again only when
# pyproject.toml or constraints.txt changes. ARGS is handed on: make test ARGS="-k fasta", make train ARGS="seed=2".
# PYTHON names the interpreter to build .venv with; otherwise the first of the list below that is new enough.

.DEFAULT_GOAL := help
.PHONY: help train test test-all lint types layers check bench-extraction format hooks lock clean

PYTHON ?=
ARGS ?=
BIN := .venv/bin
# two processes; ARGS="-n 0" runs the tests in one, as a debugger needs
WORKERS := -n 2 --dist loadfile
PIP := $(BIN)/python -m pip --disable-pip-version-check

find_python = $(or $(PYTHON),python3 python3.11 python3.12 python3.13 python3.14)
new_enough = import sys; sys.exit(sys.version_info < (3, 11))
# $(call make_venv,FOLDER): a new virtual environment there, or one sentence on what is missing
make_venv = chosen=; for python in $(find_python); do \
	  if "$$python" -c '$(new_enough)' 2>/dev/null; then chosen=$$python; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	  echo "Python 3.11 or newer is needed; looked for: $(find_python). Install it, or name it: make PYTHON=/path/to/python3.12" >&2; \
	  exit 2; \
	fi; \
	"$$chosen" -m venv $(1)

help: ## Show this list
	@awk -F ':[^#]*## ' '/^[a-z-]+:[^=]*## / {printf "  make %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo '  Options: ARGS="..." is handed to train.py, pytest or the benchmark; PYTHON=... builds .venv with that interpreter.'

train: .venv/.installed-run ## Install what running needs, then train the AMPS model on the demo data
	$(BIN)/python train.py model=amps $(ARGS)

test: .venv/.installed-dev ## Install what developing needs, then run the fast tests (offline, no GPU)
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

test-all: .venv/.installed-dev ## Run the fast and the slow tests (offline, no GPU)
	$(BIN)/python -m pytest -m 'not gpu and not network' $(WORKERS) $(ARGS)

lint: .venv/.installed-dev ## Check style and formatting (ruff)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/.installed-dev ## Check the types (mypy, strict)
	$(BIN)/mypy

layers: .venv/.installed-dev ## Check that rooms import only from the rooms above them (import-linter)
	$(BIN)/lint-imports --no-logo

check: lint types layers test ## Everything a change must pass

bench-extraction: .venv/bench/.installed ## Measure extraction beside other packages, in their own environment
	.venv/bench/bin/python benchmarks/extraction.py $(ARGS)
	.venv/bench/bin/python benchmarks/extraction_page.py

format: .venv/.installed-dev ## Rewrite the code in the one format (ruff)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

hooks: .venv/.installed-dev ## Run the checks at every git commit (pre-commit)
	$(BIN)/pre-commit install

lock: ## Renew constraints.txt with the newest versions that pyproject.toml allows
	@set -e; place=$$(mktemp -d); trap 'rm -rf "$$place"' EXIT; \
	$(call make_venv,"$$place/venv"); \
	"$$place/venv/bin/python" -m pip install -e '.[dev]'; \
	grep '^#' constraints.txt > "$$place/new"; \
	"$$place/venv/bin/python" -m pip freeze --all --exclude-editable --exclude pip | sed 's/+[^ ]*$$//' >> "$$place/new"; \
	cp "$$place/new" constraints.txt

clean: ## Remove .venv, caches and builds; runs, features and predictions stay
	rm -rf .venv build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find esm2_amp tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made:
	@$(call make_venv,.venv)
	@touch $@

.venv/.installed-run: .venv/.made pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e .
	@touch $@

.venv/.installed-dev: .venv/.made pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@ .venv/.installed-run

# the packages that the benchmark compares with stand beside .venv's, which a .pth file makes visible
.venv/bench/.installed: .venv/.installed-run benchmarks/requirements-extraction.txt
	$(BIN)/python -m venv .venv/bench
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(" + repr(sysconfig.get_path("purelib")) + ")")' \
	  > "$$(.venv/bench/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
	.venv/bench/bin/python -m pip --disable-pip-version-check install --no-deps -r benchmarks/requirements-extraction.txt
	@touch $@
