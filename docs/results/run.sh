#!/usr/bin/env bash
# The sinusoid and Gaussian runs of docs/results, about 40 minutes on one core; resumes what is there.
#   bash docs/results/run.sh                    all three experiments
#   bash docs/results/run.sh gaussian_linear    one: all its algorithms, then their comparison
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}

declare -A algorithms=(
    [sinusoid]="sigma_reptile sigma_imaml sigma_maml maml meta_sgd imaml reptile fomaml"
    [gaussian_linear]="sigma_reptile meta_sgd maml"
    [gaussian_spiral]="sigma_reptile meta_sgd maml"
)
for experiment in ${*:-gaussian_linear gaussian_spiral sinusoid}; do
    workdirs=()
    for algorithm in ${algorithms[$experiment]}; do
        workdir="runs/${experiment}_$algorithm"
        $python -m launch.train --config="configs/$experiment.py:$algorithm" --workdir="$workdir"
        $python -m launch.evaluate --workdir="$workdir"
        $python -m launch.report --workdir="$workdir"
        workdirs+=("--workdir=$workdir")
    done
    $python -m launch.report "${workdirs[@]}" --out="docs/results/$experiment"
done
