# Each target sets up what it needs; the first one on a fresh clone makes .venv and installs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Some images turn off the cache of bytecode: each process would compile all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

# A marker that is older than the lock means that what is installed may be as well.
$(READY): requirements.lock pyproject.toml
	@scripts/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@

setup: $(READY) ## make .venv and install what requirements.lock names

demo: $(READY) ## a good run on a real pipeline, then every break of its instrumentation caught
	@$(BIN)/obs-validator demo

test: $(READY) system ## the tests, but for the slow ones
	@scripts/test.sh

coverage: $(READY) system ## the tests with every line traced: 85 % of all, 95 % of each service, all of checks/
	@scripts/coverage.sh

test-slow: $(READY) system ## real backends, thousands of trials, whole pipelines once more
	@mkdir -p .reports
	@$(BIN)/python -m pytest --quiet -m "slow and not stack" -n 2 --dist loadfile --timeout 600 \
	  -o junit_family=xunit2 --junit-xml=.reports/slow.xml

soak: $(READY) ## kill -9 of any process of a pipeline in the middle of jobs, fifty times
	@mkdir -p .reports
	@$(BIN)/python -m pytest --quiet -m soak --timeout 600 \
	  -o junit_family=xunit2 --junit-xml=.reports/soak.xml

stack: $(READY) ## the real backends on this machine, and a pipeline that exports to them
	@$(BIN)/python -m stack up

stack-down: $(READY) ## end the real backends
	@$(BIN)/python -m stack down

test-stack: $(READY) ## the same verdicts on the real backends as on the built-in collector
	@$(BIN)/python -m pytest --quiet --timeout 900 -m stack tests/stack

check: $(READY) ## ruff, mypy, import-linter: what a change is held to
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: $(READY) ## figures, each with how it was measured
	@$(BIN)/python -m bench

requirements: $(READY) ## the rows of the specification that no passing test proves
	@$(BIN)/python -m scripts.requirements

system: # what Debian has to offer the tests; without root it is said what is left out
	@scripts/system.sh

lock: $(READY) ## resolve pyproject.toml anew into requirements.lock
	@scripts/lock.sh --upgrade

image: ## build the container image obs-validator (CONTAINERS=podman for another engine than docker)
	@scripts/image.sh obs-validator

test-container: $(READY) ## run the image beside a pipeline: read-only, without rights, ended in mid-run
	@scripts/container_test.sh

clean: ## remove what the targets made
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* .reports

.PHONY: help setup demo test coverage test-slow soak stack stack-down test-stack check bench requirements system lock image test-container clean
