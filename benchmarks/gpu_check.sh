#!/usr/bin/env bash
# The meta-step on this machine's GPU, in under ten minutes: benchmarks/gpu_check.py in an
# environment of its own. Flags go to the program: bash benchmarks/gpu_check.sh --only=sinusoid
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -x .venv-gpu/bin/python ]; then
  python3 -m venv .venv-gpu
  .venv-gpu/bin/pip install --quiet '.[gpu]'
fi
TF_CPP_MIN_LOG_LEVEL=3 exec .venv-gpu/bin/python -m benchmarks.gpu_check "$@"
