# `make demo` and `make test` set everything up; PYTHON picks the interpreter (3.11).
PYTHON ?= python3.11
BIN := .venv/bin

# Compiles what is going to be imported, on two cores: a fourth of all files, and also where Python is told to keep nothing.
WARM := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -W ignore -c
STORE := mlflow.store.tracking.sqlalchemy_store
BERT := transformers.models.bert.modeling_bert

.PHONY: setup demo test lint docs clean
setup: .venv/.installed

# uv takes a fifth of pip's time. It does not read where pip is told to look, so we tell it; where it fails, pip does it.
AS_PIP = $(BIN)/pip config list | sed -En 's/\\n/ /g; s/^.*\.index-url=/export UV_DEFAULT_INDEX=/p; \
	s/^.*\.extra-index-url=/export UV_INDEX=/p; s/^.*\.find-links=/export UV_FIND_LINKS=/p; \
	s/^.*\.constraint=/export UV_CONSTRAINT=/p; s/^.*\.cert=/export SSL_CERT_FILE=/p'
UV := UV_SYSTEM_CERTS=1 UV_INDEX_STRATEGY=unsafe-best-match $(BIN)/uv pip install --quiet --python $(BIN)/python
PIP := $(BIN)/pip install --quiet --no-compile --disable-pip-version-check
WHAT := --constraint constraints.txt --editable

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	-$(PIP) --constraint constraints.txt uv
	@echo installing what pyproject.toml names
	@eval "$$($(AS_PIP))"; $(UV) $(WHAT) '.[dev]' || $(PIP) $(WHAT) '.[dev]'
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
	$(PIP) $(WHAT) '.[docs]'
	@touch $@

clean: # keeps data/ and .acclimate/, where models live
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache docs/_build *.egg-info
