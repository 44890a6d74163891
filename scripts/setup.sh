#!/usr/bin/env bash
# Makes a virtual environment and installs exactly what requirements.lock names, then this project.
#   setup.sh PYTHON VENV
set -euo pipefail
python=$1 venv=$2

"$python" - <<'PY' || { echo "obs-validator needs Python 3.11 or newer as PYTHON=…" >&2; exit 1; }
import sys
sys.exit(sys.version_info < (3, 11))
PY
echo "installing what requirements.lock names into $venv (once)" >&2
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} # as pip and curl do: companies have CAs of their own
# Compiled at once: the pipeline's dozen processes start in two seconds instead of twelve.
VIRTUAL_ENV=$venv "$venv/bin/uv" pip install --quiet --require-hashes --compile-bytecode \
  -r requirements.lock
VIRTUAL_ENV=$venv "$venv/bin/uv" pip install --quiet --no-deps --editable .
