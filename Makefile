# `make demo` and `make test` set everything up; PYTHON picks the interpreter (3.11).
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup demo test lint clean
setup: .venv/.installed

# A new pip resolves in half the time of the one that Python brings, which would do as well.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	-$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -W ignore -m compileall -qq -j 0 .venv/lib || true # on all cores, as pip does on one; some files are templates
	@touch $@

demo: setup
	$(BIN)/acclimate demo

test: setup
	$(BIN)/pytest

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest tests/test_imports.py

clean: # keeps data/ and .acclimate/, where models live
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache *.egg-info
