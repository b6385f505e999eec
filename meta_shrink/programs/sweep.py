"""Search over the ranges that a config declares (its `search` section).

  meta-shrink sweep --config=configs/sinusoid.py:sigma_imaml --workdir=runs/sweep

Each trial learns from those before (Optuna's TPE), and one that is worse than half of the others at
the same meta-step ends early. Run the same command again to resume, or in several terminals at once
to share the work; best settings first in WORKDIR/trials.json. A trial trains and validates on all
devices of --strategy; processes are not joined (multi_worker), they share the trials.
"""

from absl import flags
from ml_collections import config_flags

from meta_shrink.errors import DivergedError
from meta_shrink.programs import cli
from meta_shrink.programs.places import local_only
from meta_shrink.programs.shipped import as_dict
from meta_shrink.programs.strategy import chosen_strategy
from meta_shrink.stopping import is_requested

CONFIG = config_flags.DEFINE_config_file("config", None, "Experiment, FILE or FILE:ARGUMENT.")
flags.mark_flag_as_required("config")
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the search; one workdir per trial in it.", required=True
)
local_only("workdir")
SAMPLER = flags.DEFINE_enum("sampler", "tpe", ["tpe", "random"], "How settings are chosen.")
PRUNER = flags.DEFINE_enum("pruner", "median", ["median", "none"], "Which trials end early.")


def main(argv):
    """Search; see the module's docstring."""
    # Late, so that --help is quick.
    from optuna.trial import TrialState

    from meta_shrink.experiments.components import installed_components
    from meta_shrink.experiments.defaults import Device
    from meta_shrink.experiments.sweep import sweep
    from meta_shrink.experiments.sweep_space import JOINED
    from meta_shrink.sections import call
    from meta_shrink.training.distribution import set_cpu_threads

    cli.no_arguments(argv)
    config = as_dict("config", CONFIG.value)
    set_cpu_threads(cpu_threads=call("device", Device, config.get("device", {})).cpu_threads)
    study = sweep(
        config,
        WORKDIR.value,
        components=installed_components(cli.IMPORTS.value),
        strategy=chosen_strategy(joined=JOINED),
        sampler=SAMPLER.value,
        pruner=PRUNER.value,
        stop_requested=is_requested,
    )
    if not any(trial.state == TrialState.COMPLETE for trial in study.trials):
        raise DivergedError("No trial of the search came to a result; its messages say why.")
    best = study.best_trial
    print(f"Best: trial {best.number}, {best.value:.4g}, {best.params}")
