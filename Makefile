# Everything runs from a fresh clone: the first target that needs it makes .venv from the lock file.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
LOG ?= embedded
ARGS ?=
SOURCES := alerts bridges deploy producers sinks streams studio runherald examples benchmarks tests

.DEFAULT_GOAL := help
.PHONY: help demo test check format up bench drill fuzz docs lock clean

help: ## Say what there is
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

.venv/ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "runherald needs Python 3.11 to 3.13 (set PYTHON=/path/to/python)"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { echo "runherald needs Python 3.11 to 3.13, this is $$($(PYTHON) --version); set PYTHON=/path/to/python"; exit 2; }
	@echo "setting up .venv (once; about a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==0.13.8"
	@$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python --editable .
	@touch $@

demo: .venv/ready ## The main job, from a training script to history and mail (LOG=kafka for Kafka, Faust and a ClickHouse server)
	@$(BIN)/python examples/demo.py --log $(LOG) $(ARGS)

# Much of the time is waiting for real parts, so that three processes pay on two cores. Files stay whole, for their fixtures.
test: .venv/ready ## All tests, on real parts (ARGS="tests/unit -k wire" for some of them, in one process)
	@$(BIN)/python -m pytest $(or $(ARGS),--numprocesses=3 --dist=loadfile --no-loadscope-reorder)

check: .venv/ready ## Format, lint, types, import rules
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: .venv/ready ## Format the code
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

up: .venv/ready ## A server to keep, on port 7460, its data in ./runherald-data
	@$(BIN)/runherald up $(ARGS)

bench: .venv/ready ## What there is of benchmarks, side by side with limits and peers
	@$(BIN)/python benchmarks/all.py $(ARGS)

drill: .venv/ready ## The guarantees under a load and a schedule of faults (ARGS="--seed 7 --minutes 30 --faults all")
	@$(BIN)/python -m tests.drills.drill $(ARGS)

fuzz: .venv/ready ## Whatever reads bytes, with inputs that a fuzzer finds (ARGS="--decoder rules --seconds 180")
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[fuzz]'
	@$(BIN)/python -m tests.fuzz.guided $(ARGS)

lock: ## Resolve the dependencies anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes pyproject.toml --upgrade --output-file requirements.lock

clean: ## Take away what was made here
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz .demo dist
