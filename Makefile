# `make demo` and `make test` set everything up; PYTHON picks the interpreter (3.11).
PYTHON ?= python3.11
BIN := .venv/bin

# Compiles what is going to be imported, on two cores: a fourth of all files, and also where Python is told to keep nothing.
WARM := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -W ignore -c
STORE := mlflow.store.tracking.sqlalchemy_store
BERT := transformers.models.bert.modeling_bert

.PHONY: setup demo test lint docs clean
setup: .venv/.installed

# A new pip resolves in half the time of the one that Python brings, which would do as well.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	-$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@$(WARM) 'import prefect.server.api.server, prefect.cli, prefect.workers.process, dvc.repo, $(STORE)' & \
	$(WARM) 'import sklearn.linear_model, datasets, matplotlib.figure, pytest, $(BERT)' & wait
	@touch $@

demo: setup
	$(BIN)/acclimate demo

# Commands that tests start import much; what is compiled for one is there for the next.
test: setup
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest tests/test_imports.py

docs: .venv/.docs
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo docs/_build/html/index.html

.venv/.docs: .venv/.installed
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@touch $@

clean: # keeps data/ and .acclimate/, where models live
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache docs/_build *.egg-info
