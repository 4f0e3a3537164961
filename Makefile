# Two commands do everything: `make quickstart` and `make test`. The rest is for contributors.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: quickstart test test-all coverage browser-test lint types imports ci bench clean

quickstart: $(STAMP)
	$(BIN)/robench run digits --out runs/digits --threads 1

test: $(STAMP)
	$(BIN)/python -m pytest -n 2

test-all: $(STAMP)
	$(BIN)/python -m pytest -m "not gpu"

# Branch coverage of the fast tests: a table of what they never run, and coverage.xml.
coverage: $(STAMP)
	$(BIN)/python -m pytest -n 2 -q --cov --cov-report=term:skip-covered --cov-report=xml

# Installs Chromium (apt-get) and playwright where they are missing.
browser-test: $(STAMP)
	.ci/browser

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

ci: lint types imports test

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# torchattacks pins requests~=2.25.1, which has known vulnerabilities and which it never imports:
# --no-deps installs it without; all it does import is a dependency of robench.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps "torchattacks==3.5.1"
	touch $(STAMP)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
