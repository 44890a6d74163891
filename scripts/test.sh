#!/usr/bin/env bash
# Runs all tests and writes .reports/junit.xml, from which `make requirements` reads what passed.
set -euo pipefail
mkdir -p .reports
.venv/bin/python -m pytest --quiet -n 3 --dist loadfile --no-loadscope-reorder \
  -o junit_family=xunit2 --junit-xml=.reports/junit.xml "$@"
