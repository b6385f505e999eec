"""What 20 meta-steps of every algorithm amount to, as it was before the code was rearranged.

python -m tests.reference_numbers            # compares to the bit; only the same machine can say so
python -m tests.reference_numbers --write    # the numbers are meant to change: makes them anew

The stored values are of commit cee80cc. Another processor adds in another order, so the test
compares with a tolerance.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.tiny_runs import ALGORITHMS, tiny_training, values_of

STORED = Path(__file__).with_name("reference_numbers.json")
META_STEPS = 20
CHANGES: dict[str, Any] = {
    "task": {"name": "sinusoid"},
    "model": {"name": "mlp", "hidden": [4]},
    "loss": {"name": "squared_error", "reduction": "mean"},
    "adapt.steps": 5,
    "adapt.learning_rate": 0.02,
    "train.clip_norm": 10.0,
}
# What the algorithms have of their own in the configs, so that each way is gone somewhere.
OWN: dict[str, dict[str, Any]] = {
    "sigma_imaml": {"adapt.batch_size": 4, "algorithm.hessian_data": "last"},
    "sigma_reptile": {"adapt.optimizer": "proximal_adam", "algorithm.damping": 0.1},
    "imaml": {"algorithm.damping_unit": "precision", "algorithm.solver": "neumann"},
    "reptile": {"adapt.optimizer": "proximal_adam", "adapt.data": "all"},
    "meta_sgd": {"adapt.rate_per": "parameter"},
}
BACKPROPAGATED = ("sigma_maml", "maml", "meta_sgd")
# (algorithm, whether its adaptation runs in pieces).
CASES = [(name, False) for name in ALGORITHMS]
CASES += [(name, True) for name in ALGORITHMS if name not in BACKPROPAGATED]


def case_name(algorithm: str, in_chunks: bool) -> str:
    return f"{algorithm}, {'in chunks' if in_chunks else 'whole'}"


def numbers(algorithm: str, in_chunks: bool) -> dict[str, np.ndarray]:
    """Phi, the meta-optimizers' variables and the sums of the metrics after 20 meta-steps."""
    chunks = {"train.chunk_steps": 2} if in_chunks else {}
    _, training = tiny_training(algorithm, CHANGES | OWN.get(algorithm, {}) | chunks)
    done = 0
    while done < META_STEPS:
        done += training.run(META_STEPS - done)
    return values_of(training)


def digest(values: dict[str, np.ndarray]) -> str:
    content = hashlib.sha256()
    for name in sorted(values):
        content.update(name.encode() + values[name].tobytes())
    return content.hexdigest()[:16]


def main() -> int:
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    found = {}
    for case in CASES:
        values, name = numbers(*case), case_name(*case)
        rounded = {
            key: [float(f"{x:.8g}") for x in np.ravel(value)] for key, value in values.items()
        }
        found[name] = {"digest": digest(values), "values": rounded}
        same = found[name]["digest"] == stored.get(name, {}).get("digest")
        print(f"{name}: {'equal to the bit' if same else 'OTHER BITS'}")
    if "--write" in sys.argv:
        STORED.write_text(json.dumps(found) + "\n")
    return int(any(found[name]["digest"] != stored.get(name, {}).get("digest") for name in found))


if __name__ == "__main__":
    sys.exit(main())
