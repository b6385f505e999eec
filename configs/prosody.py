"""Prosody: durations, voicing and pitch of a text's phones; a speaker is a task.

python -m launch.prepare_data speech --from=PATH --out=data/speech
python -m launch.train --config=configs/prosody.py:sigma_reptile --workdir=runs/prosody

Arguments: sigma_reptile, reptile, pretrained (the warm start, adapted without meta-training). A
small network on phones, not on samples: a minute or two on 2 cores. Its backbone is what
`launch.synthesize --prosody` takes, to say a text without a recording of it.
"""

from configs import common
from meta_shrink.speech.prosody import FEATURES


def get_config(argument: str = "sigma_reptile"):
    """The config of one method."""
    config = common.default_config(f"prosody:{argument}")
    common.choose(ALGORITHMS, argument)  # Refuses an unknown one before anything else.
    config.device.cpu_threads = 1
    # Speakers held out where the corpus does not say who.
    config.task = {"name": "prosody", "data_dir": "data/speech", "heldout_speakers": 10}
    config.model = {"name": "prosody", "inputs": FEATURES, "hidden": [64, 64]}
    config.loss = {"name": "prosody", "reduction": "mean"}
    config.adapt.update({"optimizer": "proximal_adam", "learning_rate": 2e-3, "steps": 20})
    config.prior.beta = 1e-5
    config.warm_start = {
        "steps": 1000,
        "seed": 0,
        "batch_size": 256,
        "learning_rate": 2e-3,
        "halve_every": 250,
        "validation_size": 2048,
        "validate_every": 250,
        "cache": "data/warm_start",
    }
    config.train.update({"steps": 200, "meta_batch_size": 4, "task_axis": "sequential"})
    config.train.update({"log_every": 20, "checkpoint_every": 50})
    config.eval.update({"num_tasks": 10, "points": 16})
    # All that varies at all: the whole network is 71 kB (docs/results/speech.md).
    config.eval.selection = {"rule": "relative", "value": 0.01}
    ALGORITHMS[argument](config)
    return config


def sigma_reptile(config):
    """The rate of phi is proportional to sigma^2 (Section 4.2)."""
    config.algorithm = {
        "name": "sigma_reptile",
        "cg_steps": 2,
        "damping": 0.1,
        "phi_scale": "sigma2",
    }
    config.prior.sigma2 = 1e-2
    config.meta_optimizer = {
        "phi": common.sgd(0.5, decay="linear"),
        "log_sigma2": common.adam(0.05),
    }


def reptile(config):
    """No prior: everything adapts."""
    config.algorithm = {"name": "reptile"}
    config.meta_optimizer = {"phi": common.sgd(0.5, decay="linear")}


def pretrained(config):
    """The warm start, adapted without meta-training."""
    reptile(config)
    config.train.steps = 0
    config.eval.kinds = ["all", "single"]


ALGORITHMS = {"pretrained": pretrained, "reptile": reptile, "sigma_reptile": sigma_reptile}
