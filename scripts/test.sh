#!/usr/bin/env bash
# Runs all tests and writes .reports/junit.xml, from which `make requirements` reads what passed.
# The tests that start pipelines run apart from the rest: they are about time, on two cores.
set -euo pipefail
mkdir -p .reports
.venv/bin/python -m pytest --quiet -n 4 --dist loadfile --no-loadscope-reorder --cov --cov-report= \
  -o junit_family=xunit2 --junit-xml=.reports/junit.xml "$@"
.venv/bin/python -m coverage report --skip-covered --show-missing --fail-under=85 >.reports/coverage.txt \
  || { tail -3 .reports/coverage.txt; exit 1; }
tail -1 .reports/coverage.txt
.venv/bin/python -m coverage report --include='checks/*' --show-missing --fail-under=100 >.reports/checks.txt \
  || { cat .reports/checks.txt; echo "checks/ is to have full branch coverage" >&2; exit 1; }
