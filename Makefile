# make demo [DEMO_OUT=dir]   the whole job on real images, in a few minutes
# make test                  the tests (a real S3 server, real Ray)
# make check                 lint, types, the import rule, the README's generated parts
# make bench SUITE=census|gan|speed|store|train [BENCH_OUT=dir] [BENCH_ARGS=…]   a table, and JSON beside it
# Each makes the .venv it needs with pip, and does not redo it while nothing changed.

PYTHON   ?= python3
VENV     ?= .venv
DEMO_OUT ?= augment-demo
BENCH_OUT ?= bench
BIN      := $(VENV)/bin

.PHONY: demo test check bench format clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/augment demo --out "$(DEMO_OUT)"

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m augment.config_reference --check README.md

bench: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.benchmarks --out "$(BENCH_OUT)" $(BENCH_ARGS) -- "$(SUITE)"

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m augment.config_reference README.md

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 12) else \
	  "Augment needs Python 3.10 to 3.12, and $(PYTHON) is %d.%d: try make PYTHON=python3.11 …" % v)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV): PyTorch and Ray are large, this takes a few minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing what the tests need into $(VENV)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) augment-demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
