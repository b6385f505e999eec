"""Few-shot speech (Sections 5.1 to 5.3, App. E.2, Figs. 3, 5, 12): a speaker is a task.

python -m launch.prepare_data speech --from=PATH --pre_emphasis=0.85 --out=data/speech
python -m launch.train --config=configs/speech.py:quick_pitched_sigma_reptile --workdir=runs/speech

Arguments: [quick_][pitched_]{sigma_reptile, reptile, sigma_imaml, sigma_maml, pretrained, sea}.
pretrained and sea do no meta-training: the first adapts the pre-trained network, the second the
network of all training voices with embeddings, all of it (SEA-All) and the new voice's embedding
alone (SEA-Emb).
Without quick_ the network has about the paper's size (1.9 M parameters), for an accelerator; quick_
has the same 123 modules with 16 channels and 0.18 M parameters, for 2 cores: on an hour of speech
half an hour of pre-training and an hour of meta-training (100 meta-steps of the paper's 100
adaptation steps), the settings that were measured; an evaluation adapts 1,000 steps instead of
10,000, which is 2.5 minutes a time.
pitched_ lets the dilated layers of the first cycle also hear one pitch period back (QPNet), which
the paper has not: few channels then learn harmonics in minutes, and without it not in hours. With
--pre_emphasis, which the paper has not either, voices are nearer to their speakers; without both
it is the paper's network.
docs/results/speech.md has what was measured.
"""

import random

from configs import common
from meta_shrink.models.wavenet import module_order
from meta_shrink.speech.features import FEATURES

BLOCKS, CONTEXT, HOP = 30, 39, 80
PITCH_BLOCKS = 10  # of pitched_: the first cycle.
SELECTED = 12  # modules, as in the paper: 10 % of 123
RANDOM_DRAWS = 5
SIZES = {
    # Frames of a piece, channels, steps and batch of the pre-training; adaptation steps of a
    # meta-step, of an evaluation of everything, and of one of a group of modules.
    "quick": {
        "frames": 100,
        "model": {"channels": 16},
        "pretraining": (12_000, 1),
        "steps": 100,
        "meta_steps": 100,
        "jit": "on",  # Its minutes of compiling are soon saved.
        "evaluated": (1_000, 200),
    },
    "paper": {
        "frames": 200,
        "model": {"channels": 128, "gate": 64, "skip": 64},
        "pretraining": (1_000_000, 16),
        "steps": 100,
        "meta_steps": 200,
        "jit": "auto",
        "evaluated": (10_000, 5_000),
    },
}


def get_config(argument: str = "quick_sigma_reptile"):
    """The config of one method."""
    sized = argument.removeprefix("quick_")
    size = SIZES["paper" if sized == argument else "quick"]
    method = sized.removeprefix("pitched_")
    config = common.default_config(f"speech:{argument}")
    common.choose(METHODS, method)  # Refuses an unknown one before anything else.
    config.device.cpu_threads = 1
    config.task = {
        "name": "speech",
        "data_dir": "data/speech",
        "crop_frames": size["frames"],
        "context_frames": CONTEXT,
        "validation_pieces": 8,
        "heldout_speakers": 10,  # Where the corpus does not say who.
    }
    frames = size["frames"] + CONTEXT
    config.model = {
        "name": "wavenet",
        "samples": frames * HOP,
        "frames": frames,
        "features": FEATURES,
        "cycles": BLOCKS // 10,
        **size["model"],
        **({"pitch_blocks": PITCH_BLOCKS} if method != sized else {}),
    }
    config.loss = {"name": "sequence_cross_entropy", "reduction": "mean"}
    config.adapt.update({"optimizer": "proximal_adam", "learning_rate": 5e-4})
    config.adapt.update({"batch_size": 1, "steps": size["steps"]})
    config.prior.beta = 1e-7
    steps, batch_size = size["pretraining"]
    config.warm_start = {
        "steps": steps,
        "seed": 0,
        "batch_size": batch_size,
        "learning_rate": 2e-3,
        "halve_every": steps // 4,
        "validate_every": 250,
        "cache": "data/warm_start",
    }
    config.train.update({"steps": size["meta_steps"], "jit": size["jit"], "meta_batch_size": 2})
    config.train.update({"task_axis": "sequential", "log_every": 10, "checkpoint_every": 10})
    config.eval.update({"num_tasks": 10, "points": 16, "kinds": ["all", "selected", "single"]})
    whole, group = (steps // size["steps"] for steps in size["evaluated"])
    config.eval.update({"horizon": whole, "group_horizon": group})
    # A ranking, as the paper has for speech: the 12 largest.
    config.eval.selection = {"rule": "top_k", "value": SELECTED}
    config.eval.groups = groups(voiced=False)
    METHODS[method](config)
    return config


def groups(*, voiced: bool) -> dict:
    """What adapts alone: as many modules as are selected, from the ends or at random, and each
    dilated layer (Fig. 5)."""
    names = module_order(BLOCKS, voiced=voiced)
    chosen = {f"first {SELECTED}": names[:SELECTED], f"last {SELECTED}": names[-SELECTED:]}
    for draw in range(RANDOM_DRAWS):
        own = set(random.Random(draw).sample(names, SELECTED))
        chosen[f"random {SELECTED} ({draw + 1})"] = [name for name in names if name in own]
    dilated = [name for name in names if name.endswith("dilated")]
    return chosen | {name: [name] for name in dilated}


def sigma_reptile(config):
    """The rate of phi is proportional to sigma^2 (Section 4.2).

    The variances settle within 100 meta-steps; from 0.01 and at a rate of 0.05 they do not.
    """
    config.algorithm = {
        "name": "sigma_reptile",
        "cg_steps": 2,
        "damping": 0.1,
        "phi_scale": "sigma2",
    }
    config.prior.sigma2 = 1.0
    config.meta_optimizer = {
        "phi": common.sgd(0.5, decay="linear"),
        "log_sigma2": common.adam(0.2),
    }


def reptile(config):
    """No prior: everything adapts."""
    config.algorithm = {"name": "reptile"}
    config.meta_optimizer = {"phi": common.sgd(0.5, decay="linear")}


def sigma_imaml(config):
    """The implicit gradient of phi too."""
    sigma_reptile(config)
    config.algorithm = {"name": "imaml", "cg_steps": 2, "damping": 0.1}
    config.meta_optimizer.phi = common.adam(1e-4)


def sigma_maml(config):
    """Back-propagation through few steps: its memory grows with them."""
    sigma_reptile(config)
    config.algorithm = {"name": "maml"}
    config.adapt.steps = 2
    config.train.jit = "auto"
    config.meta_optimizer.phi = common.adam(1e-4)


def pretrained(config):
    """The warm start, adapted without meta-training."""
    config.algorithm = {"name": "reptile"}
    config.meta_optimizer = {"phi": common.sgd(1.0)}
    config.train.steps = 0
    config.eval.kinds = ["all", "single"]


def sea(config):
    """Sample-efficient adaptation: a voice is an embedding, and the 62nd is the new one's."""
    pretrained(config)
    config.task.speaker_numbers = True
    config.model.speakers = 62
    config.eval.groups = {"embedding": ["speaker"]}
    config.eval.group_horizon = config.eval.horizon


METHODS = {
    "pretrained": pretrained,
    "reptile": reptile,
    "sea": sea,
    "sigma_imaml": sigma_imaml,
    "sigma_maml": sigma_maml,
    "sigma_reptile": sigma_reptile,
}
