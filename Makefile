# What a developer types. `make dev` first; every target uses the environment it makes.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: dev build test soak asan lint types wheels bench readme clean

dev: $(BIN)/python
	$(BIN)/python -m pip install --quiet 'setuptools>=77' 'cython>=3.1'
	$(BIN)/python -m pip install --quiet --no-build-isolation -e '.[standard,test,lint]'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

build:
	$(BIN)/python setup.py --quiet build_ext --inplace

test:
	$(BIN)/python -m pytest

soak:
	$(BIN)/python -m pytest -m soak

asan:
	tools/asan.sh $(PYTHON)

lint:
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --no-cache --check src tests tools examples
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cython-lint --max-line-length 105 ext

types:
	$(BIN)/python -m mypy
	$(BIN)/python -m mypy.stubtest fastserve._native --allowlist tools/stubtest-allowlist.txt --ignore-unused-allowlist

wheels:
	tools/wheels.sh

bench:
	$(BIN)/python -m pip install --quiet -e '.[bench]' h11
	$(BIN)/python benchmarks/compare.py
	$(BIN)/python benchmarks/compare.py --websocket
	$(BIN)/python benchmarks/compare.py --http2
	$(BIN)/python benchmarks/instructions.py
	$(BIN)/python benchmarks/instructions.py --websocket
	$(BIN)/python benchmarks/operations.py
	$(BIN)/python tools/readme_tables.py

readme:
	$(BIN)/python tools/readme_tables.py

clean:
	rm -rf build generated dist wheelhouse src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
	find src -name '*.so' -delete
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
