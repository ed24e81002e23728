# make demo   adapt the shipped recogniser to six accents and see what it gains
# make demo-streaming   adapt a streaming recogniser, and run it with sherpa-onnx
# make test   run the tests
# make fuzz   damage every kind of file that hra reads, 10,000 times (CASES=), and count what becomes of it
# make chaos  kill every command, 100 times in all (KILLS=), and see that nothing is lost
# make docs   build the documentation into site/
# Each installs what it needs, from lock files with hashes, into .venv-$(LANE) or .venv-docs. LANE=k2 has k2 and the old
# torch that its wheel fits, LANE=torch2 current torch and no k2.

LANE ?= k2
PYTHON ?= python3.11
VENV := .venv-$(LANE)
INSTALLED := $(VENV)/.installed
DOCS := .venv-docs
# What must be installed without looking at its dependencies: lane k2 has such a file, lane torch2 none.
WHEEL := $(wildcard requirements/$(LANE)-wheel.txt)
# The loss is measured against k2's, so where k2 is; the encoder against the zipformer package, which needs newer torch.
BENCHMARKS := train_step growth mixed_tasks streaming decoding prepare $(if $(filter k2,$(LANE)),loss,encoder)
CASES ?= 10000
KILLS ?= 100
BENCHMARK_WHEELS := $(wildcard requirements/$(LANE)-bench.txt)
PIP := -m pip install --quiet --disable-pip-version-check
PIP_INSTALL := $(VENV)/bin/python $(PIP)
COMPILE := uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet

.PHONY: setup setup-docs demo demo-streaming test fuzz chaos lint docs bench lock clean

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml requirements/$(LANE).txt $(WHEEL)
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --require-hashes -r requirements/$(LANE).txt
	$(if $(WHEEL),$(PIP_INSTALL) --no-deps --require-hashes -r $(WHEEL))
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

demo-streaming: $(INSTALLED)
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" recipes/streaming/run.sh

demo: $(INSTALLED)
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" recipes/accents/run.sh

# One thread a worker: two cores are busy with two workers.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2

fuzz: $(INSTALLED)
	OMP_NUM_THREADS=1 PYTHONPATH="$(CURDIR)/tests" $(VENV)/bin/python -m robustness.fuzz --cases $(CASES)

chaos: $(INSTALLED)
	OMP_NUM_THREADS=1 PYTHONPATH="$(CURDIR)/tests" $(VENV)/bin/python -m robustness.chaos --kills $(KILLS)

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

setup-docs: $(DOCS)/.installed

$(DOCS)/.installed: requirements/docs.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python $(PIP) --require-hashes -r $<
	touch $@

# Needs no network once .venv-docs is there. (The theme announces its successor, unless told not to.)
docs: $(DOCS)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

# Decoding is measured on what the demo has made.
bench: demo
	$(if $(BENCHMARK_WHEELS),$(PIP_INSTALL) --no-deps --require-hashes -r $(BENCHMARK_WHEELS))
	mkdir -p benchmarks/out
	for one in $(BENCHMARKS); do $(VENV)/bin/python benchmarks/$$one.py --output benchmarks/out/$$one-$(LANE).json || exit; done

# Needs uv. Writes no index address, so that the lock works with any mirror.
lock:
	$(COMPILE) pyproject.toml requirements/$(LANE).in --extra dev --extra accents --extra export --extra hub --extra parquet --extra vad \
		--extra cluster --extra url \
		--output-file requirements/$(LANE).txt
	$(if $(BENCHMARK_WHEELS),$(COMPILE) requirements/$(LANE)-bench.in --no-deps -c requirements/$(LANE).txt \
		--output-file $(BENCHMARK_WHEELS))
	$(COMPILE) requirements/docs.in --output-file requirements/docs.txt

clean:
	rm -rf .venv-* .pytest_cache .mypy_cache .ruff_cache recipes/*/data recipes/*/data-* recipes/*/exp recipes/*/log \
		site dist build benchmarks/out
	find . -name __pycache__ -prune -exec rm -rf {} +
