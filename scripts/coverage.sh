#!/usr/bin/env bash
# Runs the tests once more with every line traced, also of what they start: that takes longer.
set -euo pipefail
mkdir -p .reports
report() { .venv/bin/python -m coverage report --show-missing "$@"; }
.venv/bin/python -m pytest --quiet -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report= \
  -m "not untraced and not slow and not stack and not soak"
.venv/bin/python -m pytest --quiet -n 2 --dist loadfile --cov --cov-append --cov-report= -m slow \
  tests/pipeline/test_sweep.py tests/pipeline/test_dlq.py
report --skip-covered --fail-under=85 >.reports/coverage.txt || { tail -3 .reports/coverage.txt; exit 1; }
tail -1 .reports/coverage.txt
report --include='checks/*' --fail-under=100 >.reports/checks.txt \
  || { cat .reports/checks.txt; echo "checks/ is to have full branch coverage" >&2; exit 1; }
# The state machine and the logic of each service of the reference pipeline.
.venv/bin/python -m scripts.coverage_floor 95 --include='pipeline/*' \
  --omit='pipeline/host/*,pipeline/cli.py,pipeline/commands/*,pipeline/testing.py,pipeline/__main__.py'
