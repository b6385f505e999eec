"""Sinusoid regression: MAML, Reptile and sigma-Reptile, three seeds.

python -m launch.compare --set=configs/comparisons/sinusoid.py --out=runs/compare_sinusoid

sigma_maml is left out: with fewer than its 15,000 meta-steps, four minutes a seed, it finds the
wrong modules.
"""

from ml_collections import ConfigDict

# Meta-steps, a third or less of those of configs/sinusoid.py; the rates decay within them.
STEPS = {"maml": 10_000, "reptile": 10_000, "sigma_reptile": 20_000}


def get_config():
    """The set."""
    return ConfigDict(
        {
            "name": "sinusoid",
            "runs": [
                {"config": f"configs/sinusoid.py:{name}", "overrides": {"train.steps": steps}}
                for name, steps in STEPS.items()
            ],
            "seeds": [0, 1, 2],
            # The first seed also adapts each layer alone, for launch.report.
            "evaluate": {"num_tasks": 100, "horizon": 1},
            "evaluate_others": {"num_tasks": 100, "horizon": 1, "kinds": ["all", "selected"]},
        }
    )
