"""Your own arrays: a folder of NPZ files, one per task (docs/your_own.md).

python -m launch.train --config=configs/arrays.py:sigma_maml --config.task.data_dir=data/mine \\
    --workdir=runs/mine

The network is fully connected: --config.model.inputs, outputs and hidden. For labels of classes:
--config.task.targets=labels --config.task.classes=3 --config.loss.name=cross_entropy
--config.model.outputs=3. With another network: --imports (docs/your_own.md). A minute for small
data on 2 cores.
"""

from ml_collections import ConfigDict

from meta_shrink.experiments.own_config import ALGORITHMS as ALGORITHMS
from meta_shrink.experiments.own_config import own_config


def get_config(argument: str = "sigma_maml"):
    """The config of one algorithm of own_config.ALGORITHMS."""
    config = own_config("squared_error", argument, steps=2000)
    config["name"] = f"arrays:{argument}"
    config["task"] = {
        "name": "arrays",
        "data_dir": "data/mine",
        "targets": "numbers",
        "classes": 0,
        "test": 0.2,
        "validation": 0.1,
        "heldout": 0.5,
        "split": "0",
    }
    config["model"] = {"name": "mlp", "inputs": 1, "outputs": 1, "hidden": [40, 40]}
    # Not more than there are: raise it to the number of your test tasks.
    config["eval"]["num_tasks"] = 1
    return ConfigDict(config)
