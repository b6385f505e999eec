"""Random search over the ranges that a config declares (its `search` section).

  python -m launch.sweep --config=configs/sinusoid.py:sigma_imaml --workdir=runs/sweep

Run the same command again to resume, or in several terminals at once to share the work; best
settings first in WORKDIR/trials.json.
"""

from absl import flags
from ml_collections import config_flags

from launch import cli
from meta_shrink.distribution import set_cpu_threads
from meta_shrink.experiment import call
from meta_shrink.sweep_job import sweep

CONFIG = config_flags.DEFINE_config_file("config", None, "Experiment, FILE or FILE:ARGUMENT.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the search; one workdir per trial in it.")


def main(argv):
    """Search; see the module's docstring."""
    cli.no_arguments(argv)
    config = CONFIG.value.to_dict()
    call("device", set_cpu_threads, config["device"])
    study = sweep(config, WORKDIR.value)
    best = study.best_trial
    print(f"Best: trial {best.number}, {best.value:.4g}, {best.params}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    cli.run(main)
