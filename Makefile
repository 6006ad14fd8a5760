# make demo [DEMO_OUT=dir]   the whole job on real images, in a few minutes
# make test                  the tests (a real S3 server, real Ray)
# make check                 lint, types, the import rule, the generated config reference
# make bench SUITE=census|gan|ingest|lift|scale|sizing|speed|startup|store|train [BENCH_OUT=dir] [BENCH_ARGS=…]   a table, and JSON beside it
# make locks                 deploy/locks: what the image installs, by version and digest (LOCK_ARGS=--upgrade)
# make sbom [LOCK=cuda|cpu]  build/sbom: a CycloneDX document and a table of licences of what that lock file installs
# make manifests             deploy/kuberay/base: what `augment render` prints for configs/gpu-s3.yaml
# make audit [LOCK=cuda|cpu] known vulnerabilities of what that lock file names
# Each makes the .venv it needs with pip, and does not redo it while nothing changed.

PYTHON   ?= python3
VENV     ?= .venv
DEMO_OUT ?= augment-demo
BENCH_OUT ?= bench
LOCK     ?= cuda
BIN      := $(VENV)/bin

.PHONY: demo test check bench format clean locks lock-build lock-cuda lock-cpu sbom audit manifests
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/augment demo --out "$(DEMO_OUT)"

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m augment.config_reference --check

bench: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.benchmarks --out "$(BENCH_OUT)" $(BENCH_ARGS) -- "$(SUITE)"

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m augment.config_reference

# The machine that the lock files are for; PyTorch's CPU wheels lie on an index of their own.
COMPILE = $(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 \
          --python-platform x86_64-manylinux_2_28 --custom-compile-command "make locks" $(LOCK_ARGS)
IMAGE_IN = pyproject.toml --extra cluster --extra kubernetes -c constraints.txt

locks: lock-build lock-cuda lock-cpu

lock-build: $(VENV)/.installed-dev
	$(COMPILE) deploy/locks/build.in -o deploy/locks/build.txt

lock-cuda: $(VENV)/.installed-dev
	$(COMPILE) $(IMAGE_IN) -o deploy/locks/cuda.txt

lock-cpu: $(VENV)/.installed-dev
	$(COMPILE) $(IMAGE_IN) --torch-backend cpu -o deploy/locks/cpu.txt

# Licences are told by installed packages alone, so the lock file is installed, beside everything else.
sbom: build/image-$(LOCK)/.installed
	@mkdir -p build/sbom
	$(BIN)/uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py environment --output-reproducible \
	  --of JSON -o build/sbom/$(LOCK).cdx.json build/image-$(LOCK)/bin/python
	$(BIN)/uv tool run pip-licenses@5.5.5 --python build/image-$(LOCK)/bin/python --with-urls \
	  --partial-match --fail-on="GPL;General Public" --format=csv --output-file=build/sbom/$(LOCK)-licences.csv

build/image-$(LOCK)/.installed: deploy/locks/$(LOCK).txt $(VENV)/.installed-dev
	$(PYTHON) -m venv --clear build/image-$(LOCK)
	build/image-$(LOCK)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  --only-binary=:all: -r $<
	@touch $@

# Strict: a package whose advisories nobody could look up is a failure, not a pass.
audit: $(VENV)/.installed-dev
	$(BIN)/uv tool run pip-audit@2.10.1 --requirement deploy/locks/$(LOCK).txt --require-hashes --disable-pip --strict

RENDER = $(BIN)/augment render --config configs/gpu-s3.yaml --run-id defects-v1

manifests: $(VENV)/.installed-dev
	@mkdir -p build
	$(RENDER) --backend kuberay --cluster deploy/kuberay/clusters/plain.yaml > build/rayjob.yaml
	mv build/rayjob.yaml deploy/kuberay/base/rayjob.yaml

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
