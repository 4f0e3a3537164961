# Two commands do everything: `make quickstart` and `make test`. The rest is for contributors.
PYTHON ?= python3
VENV := .venv
AUDIT := .venv-audit
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Python keeps what it has compiled, pytest's rewritten tests included: a third of a minute less for each process of tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: quickstart test test-thorough test-all coverage mutants fuzz gpu gpu-rehearsal paper-gpu browser-test board readme-numbers docs docs-tables lint types imports ci audit bench clean

quickstart: $(STAMP)
	$(BIN)/robench run digits --out runs/digits --threads 1

# With MARKS="not slow and not gpu" the thorough tests too, in one go and the long ones first.
test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal $(if $(MARKS),-m "$(MARKS)")

# Tests that take about a second or more each.
test-thorough: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m thorough

test-all: $(STAMP)
	$(BIN)/python -m pytest -m "not gpu"

# Branch coverage of the fast and the thorough tests: a table of what they never run, and coverage.xml.
coverage: $(STAMP)
	$(BIN)/python -m pytest -n 2 -q -m "not slow and not gpu" --cov --cov-report=term:skip-covered --cov-report=xml

# Small faults in the modules that decide numbers, one at a time: prints those that no test notices. An hour or more.
mutants: $(STAMP)
	$(BIN)/python -m benchmarks.mutants

# Damaged and hostile files to every reader, ten minutes each.
fuzz: $(STAMP)
	ROBENCH_FUZZ_SECONDS=600 $(BIN)/python -m pytest -m slow tests/faults/fuzz

# On a machine with a GPU: its tests, attacks and training beside peers, the card's limit; at most eight minutes.
gpu: $(STAMP)
	$(BIN)/python -m benchmarks.gpu --out benchmarks/gpu.md

# The same at toy sizes on the processor.
gpu-rehearsal: $(STAMP)
	$(BIN)/python -m benchmarks.gpu --rehearse --minutes 30

# The paper's tables at full scale on a GPU: eight minutes a call, the next call goes on. DATA names the folder of data.
paper-gpu: $(STAMP)
	$(BIN)/python -m benchmarks.paper_gpu --data-root "$(DATA)" --minutes 8

# Installs Chromium (apt-get) and playwright where they are missing.
browser-test: $(STAMP)
	.ci/browser

# The repository's own site, docs/board, from the submission files beside it.
board: $(STAMP)
	$(BIN)/robench board docs/submissions/*.zip -o docs/board --title "robench: defenses on digits"

# The numbers between the markers of README.md, from the commands above them: some minutes.
readme-numbers: $(STAMP)
	$(BIN)/python -m benchmarks.readme_numbers

# The documentation site, in build/site: fails at a warning, a broken link, and anything from another host.
docs: $(STAMP)
	$(BIN)/python -m docs_site --out build/site

# The tables and pages of docs/ that are made from the source.
docs-tables: $(STAMP)
	$(BIN)/python -m docs_site.tables

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

ci: lint types imports test

# Known vulnerabilities of the pinned versions: asks a package index, so no test needs it. --strict: a version that
# the index knows nothing of is a failure too, or an audit of nothing would pass.
audit:
	test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && $(AUDIT)/bin/python -m pip install --quiet "pip-audit>=2.9,<3"; }
	{ cat constraints.txt; echo "torchattacks==3.5.1"; } > $(AUDIT)/audited.txt
	$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement $(AUDIT)/audited.txt

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# torchattacks pins requests~=2.25.1, which has known vulnerabilities and which it never imports:
# --no-deps installs it without; all it does import is a dependency of robench.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,docs]"
	$(BIN)/python -m pip install --quiet --no-deps "torchattacks==3.5.1"
	touch $(STAMP)

clean:
	rm -rf $(VENV) $(AUDIT) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
