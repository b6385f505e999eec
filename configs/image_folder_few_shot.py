r"""Few-shot photographs: miniImageNet and grocery84 (App. E.4.2, Tables 9 and 10, Fig. 15).

python -m launch.train --workdir=DIR \
  --config=configs/image_folder_few_shot.py:grocery84_5w1s_sigma_maml

Arguments: [quick_]{mini, grocery84}_{5w1s, 5w5s}_{maml, fomaml, meta_sgd, imaml, reptile,
sigma_maml, sigma_imaml, sigma_reptile}. Without quick_: Table 9, for an accelerator.

quick_, one core: a warm start of 2 minutes, shared by all methods, then 1 to 2 minutes and 3 of
evaluation; accuracy to expect: docs/results/images.md.
"""

from configs import images
from configs.images import Column

DATA = {"mini": "data/mini_imagenet", "grocery84": "data/grocery84"}
SHOTS = {"5w1s": 1, "5w5s": 5}

# Table 9; it has no FOMAML and Meta-SGD, which take MAML's column.
MAML = Column((1e-3, 1e-3), 60_000, 4, task_rate=1e-2, task_steps=5)
TABLE_9 = {
    "maml": MAML,
    "fomaml": MAML,
    "meta_sgd": MAML._replace(rate_per="parameter"),
    "reptile": Column(
        (0.45, 0.0),
        100_000,
        5,
        task_rate=1.5e-3,
        task_steps=5,
        meta_optimizer="sgd",
        task_optimizer="proximal_adam",
        decay="linear",
    ),
    "imaml": Column(
        (2.5e-4, 0.0),
        60_000,
        4,
        task_rate=4e-2,
        task_steps=17,
        cg_steps=5,
        damping=6.5e-2,
        damping_unit="precision",
        sigma2=1 / 0.14,
    ),
    "sigma_maml": Column((1e-3, 5e-2), 60_000, 5, task_rate=0.1, task_steps=5, sigma2=1.0),
    "sigma_reptile": Column(
        (6e-4, 2.5e-2),
        100_000,
        3,
        task_rate=1.35,
        task_steps=7,
        cg_steps=3,
        damping=1e-2,
        sigma2=1.0,
    ),
    "sigma_imaml": Column(
        (2e-4, 0.2), 60_000, 5, task_rate=1.6, task_steps=1, cg_steps=2, damping=2e-3, sigma2=1.0
    ),
}
# For 2 cores, 42x42 pixels: a warm start, then 100 meta-steps of 4 tasks.
SHORT = Column((2e-4, 1e-2), 100, 4, task_rate=0.05, task_steps=5, decay="linear", clip_norm=10.0)
IMPLICIT = SHORT._replace(rates=(1e-4, 5e-2), cg_steps=2, damping=1.0)
QUICK = {
    "maml": SHORT,
    "fomaml": SHORT,
    "meta_sgd": SHORT._replace(rate_per="parameter"),
    "reptile": SHORT._replace(
        rates=(0.5, 0.0), meta_optimizer="sgd", task_optimizer="proximal_adam", task_rate=1e-3
    ),
    "imaml": IMPLICIT._replace(damping=6.5e-2, damping_unit="precision", sigma2=1 / 0.14),
    "sigma_maml": SHORT._replace(rates=(2e-4, 5e-2), sigma2=10.0),
    "sigma_imaml": IMPLICIT._replace(sigma2=10.0),
    "sigma_reptile": IMPLICIT._replace(rates=(2e-4, 5e-2), sigma2=10.0),
}


def get_config(argument: str = "quick_grocery84_5w1s_sigma_maml"):
    """The config of one data set, setting and algorithm."""
    settings = tuple(f"{data}_{shots}" for data in DATA for shots in SHOTS)
    quick, setting, algorithm = images.parse(argument, settings)
    data, shots = setting.split("_")
    size = 42 if quick else 84
    config = images.base(f"image_folder_few_shot:{argument}")
    config.task = {
        "name": "image_folder_few_shot",
        "data_dir": DATA[data],
        "ways": 5,
        "shots": SHOTS[shots],
        "queries": 15,
        "heldout_queries": 15,
        "image_size": size,
        "exif": True,
    }
    config.model = {
        "name": "convnet",
        "image_size": size,
        "channels": 3,
        "classes": 5,
        "filters": 32,
        "downsampling": "pool",
        "precision": "float32",
    }
    if quick:
        config.warm_start = {
            "seed": 0,
            "steps": 2000,
            "batch_size": 64,
            "learning_rate": 2e-3,
            "augment": {"scale": [0.8, 1.2], "shift": 0.1, "rotation": 15, "fill": 128.0},
            "cache": "data/warm_start",
        }
    images.use(config, algorithm, (QUICK if quick else TABLE_9)[algorithm])
    # Table 9: 50 steps at meta-test.
    config.eval.update(
        {"num_tasks": 600, "steps": 50, "horizon": 2, "group_tasks": 200, "validation_tasks": 100}
        if not quick
        else {"num_tasks": 600, "steps": 50, "horizon": 1, "group_tasks": 60, "points": 5}
    )
    return config
