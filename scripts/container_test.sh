#!/usr/bin/env bash
# Runs the tests of tests/container/ and prints their figures.
#   CONTAINERS   the engine: docker, podman, or a command that takes podman's words
#   IMAGE        the image to test, and PIPELINE_IMAGE that of the reference pipeline, if it is to
#                be tested; without IMAGE both are built
set -euo pipefail

if [ -z "${CONTAINERS:-}" ]; then
  for one in docker podman; do
    if command -v "$one" >/dev/null && "$one" info >/dev/null 2>&1; then CONTAINERS=$one; break; fi
  done
fi
if [ -z "${CONTAINERS:-}" ]; then
  echo "left out: the tests of the image, since neither docker nor podman runs here (CONTAINERS=… names another)" >&2
  exit 0
fi
export CONTAINERS
if [ -z "${IMAGE:-}" ]; then
  export IMAGE=localhost/obs-validator:test
  export PIPELINE_IMAGE=localhost/obs-validator-pipeline:test
  scripts/image.sh "$IMAGE"
  scripts/image.sh "$PIPELINE_IMAGE" pipeline
fi
exec .venv/bin/python -m pytest --quiet -p no:xdist --timeout 300 tests/container
