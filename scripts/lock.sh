#!/usr/bin/env bash
# Resolves pyproject.toml into requirements.lock, and from it the parts that the image installs:
# the same versions with the same hashes, without what only other targets need.
#   lock.sh [--upgrade]
set -euo pipefail
hashed=(--generate-hashes --no-emit-index-url --python-version 3.11)
compile() {
  .venv/bin/uv pip compile --quiet "$@"
}
part() {
  compile --no-annotate --no-header "${hashed[@]}" --constraint requirements.lock pyproject.toml "$@"
}

compile --all-extras "${hashed[@]}" "$@" pyproject.toml -o requirements.lock
part -o requirements-run.lock
part --extra pipeline -o requirements-pipeline.lock
# What makes the wheel, which is in no environment that runs.
sed -nE 's/^requires = \["(.*)"\]$/\1/p' pyproject.toml |
  compile --no-annotate --no-header "${hashed[@]}" "$@" - -o requirements-build.lock
