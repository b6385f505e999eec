"""Few-shot Omniglot (App. E.4.1, Tables 8 and 10, Fig. 14).

python -m launch.train --config=configs/omniglot_few_shot.py:5w1s_sigma_maml --workdir=DIR

Arguments: [quick_]{5w1s, 5w5s, 20w1s, 20w5s}_{maml, fomaml, meta_sgd, imaml, reptile, sigma_maml,
sigma_imaml, sigma_reptile}. Without quick_: Table 8, for an accelerator.

quick_, one core: a warm start of 10 minutes, shared by all methods, then 2 minutes (Reptile 1,
sigma_imaml 3) and 3 of evaluation; accuracy to expect: docs/results/images.md.
"""

from configs import images
from configs.images import Column

WAYS_SHOTS = {"5w1s": (5, 1), "5w5s": (5, 5), "20w1s": (20, 1), "20w5s": (20, 5)}

# Table 8; it has no FOMAML and Meta-SGD, which take MAML's column.
MAML = Column((4.8e-3, 5e-3), 60_000, 32, task_rate=0.968, task_steps=1)
TABLE_8 = {
    "maml": MAML,
    "fomaml": MAML,
    "meta_sgd": MAML._replace(rate_per="parameter"),
    "reptile": Column(
        (1.8, 0.0),
        100_000,
        5,
        task_rate=8e-4,
        task_steps=5,
        meta_optimizer="sgd",
        task_optimizer="proximal_adam",
        decay="linear",
    ),
    "imaml": Column(
        (1e-3, 0.0),
        60_000,
        32,
        task_rate=0.23,
        task_steps=19,
        cg_steps=4,
        damping=1.0,
        damping_unit="precision",
        sigma2=1 / 0.025,
    ),
    "sigma_maml": Column((1.7e-4, 7.4e-3), 60_000, 32, task_rate=0.9, task_steps=3, sigma2=1.0),
    "sigma_reptile": Column(
        (1.6, 7e-4),
        100_000,
        5,
        task_rate=6e-4,
        task_steps=8,
        meta_optimizer="sgd",
        task_optimizer="proximal_adam",
        cg_steps=1,
        damping=6e-3,
        sigma2=1.0,
        decay="linear",
        phi_scale="sigma2",
    ),
    "sigma_imaml": Column(
        (7.8e-3, 4e-3),
        60_000,
        32,
        task_rate=1.3,
        task_steps=8,
        cg_steps=2,
        damping=0.18,
        sigma2=1.0,
    ),
}
# For 2 cores: a warm start, then 400 meta-steps of 8 tasks; tried on validation tasks.
SHORT = Column((3e-4, 1e-2), 400, 8, task_rate=0.2, task_steps=3, decay="linear", clip_norm=10.0)
IMPLICIT = SHORT._replace(rates=(1e-4, 2e-2), task_steps=8, cg_steps=2, damping=1.0)
# Gradient descent here too: Adam's equal steps of all weights undo the warm start (83 %).
TOWARDS = SHORT._replace(rates=(0.5, 2e-2), meta_optimizer="sgd", task_steps=8)
QUICK = {
    "maml": SHORT,
    "fomaml": SHORT,
    "meta_sgd": SHORT._replace(rate_per="parameter"),
    "reptile": TOWARDS,
    "imaml": IMPLICIT._replace(damping_unit="precision", sigma2=1 / 0.025),
    "sigma_maml": SHORT._replace(rates=(3e-4, 2e-2), sigma2=10.0),
    "sigma_imaml": IMPLICIT._replace(sigma2=10.0),
    "sigma_reptile": TOWARDS._replace(cg_steps=2, damping=1.0, sigma2=10.0, phi_scale="sigma2"),
}


def get_config(argument: str = "quick_5w1s_sigma_maml"):
    """The config of one setting and algorithm."""
    quick, setting, algorithm = images.parse(argument, tuple(WAYS_SHOTS))
    ways, shots = WAYS_SHOTS[setting]
    config = images.base(f"omniglot_few_shot:{argument}")
    config.task = {
        "name": "omniglot_few_shot",
        "data_dir": "data/omniglot_tfds",
        "ways": ways,
        "shots": shots,
        "queries": shots,
        # More than in training, for sharper estimates.
        "heldout_queries": 15 if shots <= 5 else shots,
        "image_size": 28,
        "interpolation": "lanczos",
        "invert": True,
        "rotations": True,
        "split": "0",
    }
    config.model = {
        "name": "convnet",
        "image_size": 28,
        "channels": 1,
        "classes": ways,
        "filters": 64,
        "downsampling": "stride",
        "precision": "float32",
    }
    if quick:
        config.warm_start = {
            "seed": 0,
            "steps": 20_000,
            "batch_size": 64,
            "learning_rate": 2e-3,
            "augment": {"scale": [0.8, 1.2], "shift": 0.1, "rotation": 15},
            "cache": "data/warm_start",
        }
    images.use(config, algorithm, (QUICK if quick else TABLE_8)[algorithm])
    # Table 8: 50 steps at meta-test.
    config.eval.update(
        {"num_tasks": 600, "steps": 50, "horizon": 2, "group_tasks": 200, "validation_tasks": 100}
        if not quick
        else {"num_tasks": 600, "steps": 50, "horizon": 1, "group_tasks": 60, "points": 5}
    )
    return config
