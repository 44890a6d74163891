#!/usr/bin/env bash
# Builds the image: image.sh TAG [TARGET]
#   CONTAINERS   the engine: docker, podman, or a command that takes podman's words
set -euo pipefail
tag=$1 target=${2:-validator}
read -ra engine <<<"${CONTAINERS:-$(command -v docker || command -v podman || echo docker)}"
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
"${engine[@]}" build --target "$target" --build-arg "REVISION=$revision" --tag "$tag" .
