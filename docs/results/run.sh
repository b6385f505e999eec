#!/usr/bin/env bash
# Every run behind docs/results: bash docs/results/run.sh [experiment:algorithm ...]
# Resumes what is there; about 45 minutes on one core for all of it.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
all="sinusoid:sigma_reptile gaussian_linear:sigma_reptile gaussian_linear:meta_sgd
gaussian_linear:maml gaussian_spiral:sigma_reptile gaussian_spiral:meta_sgd gaussian_spiral:maml
sinusoid:sigma_imaml sinusoid:sigma_maml sinusoid:maml sinusoid:meta_sgd sinusoid:reptile
sinusoid:imaml sinusoid:fomaml"
for run in ${*:-$all}; do
    workdir="runs/${run/:/_}"
    $python -m launch.train --config="configs/${run/:/.py:}" --workdir="$workdir"
    $python -m launch.evaluate --workdir="$workdir"
    $python -m launch.report --workdir="$workdir"
done
compare() { # experiment, algorithms
    local experiment=$1 workdirs=() algorithm
    shift
    for algorithm; do workdirs+=("--workdir=runs/${experiment}_$algorithm"); done
    $python -m launch.report "${workdirs[@]}" --out="docs/results/$experiment"
}
if [ $# = 0 ]; then
    compare sinusoid sigma_reptile sigma_imaml sigma_maml maml meta_sgd imaml reptile
    compare gaussian_linear sigma_reptile meta_sgd maml
    compare gaussian_spiral sigma_reptile meta_sgd maml
fi
