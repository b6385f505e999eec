"""Meta-train one experiment; run the same command again to resume.

  meta-shrink train --config=configs/sinusoid.py:sigma_reptile --workdir=runs/sinusoid

Any setting can be changed on the command line, for instance --config.train.steps=500. Exit codes:
0 done, 2 usage, 3 data, 4 broken checkpoint, 5 another process trains there, 42 stopped and
resumable. --workdir=gs://BUCKET/RUN is worked on in a local copy, uploaded at each checkpoint.
"""

from absl import flags
from ml_collections import config_flags

from meta_shrink.programs import cli
from meta_shrink.programs.places import owned
from meta_shrink.programs.shipped import as_dict
from meta_shrink.programs.strategy import chosen_strategy

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Experiment, FILE or FILE:ARGUMENT; executes that Python file."
)
flags.mark_flag_as_required("config")
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of this run; made if missing.", required=True
)
ALLOW = flags.DEFINE_bool(
    "allow_config_change", False, "Resume although the config differs from the workdir's."
)
PROFILE = flags.DEFINE_string(
    "profile", None, "START:STOP, meta-steps of which a trace is written for TensorBoard."
)


def main(argv):
    """Train; see the module's docstring."""
    # Late, so that --help is quick.
    from meta_shrink.experiments.build import build
    from meta_shrink.experiments.components import installed_components
    from meta_shrink.experiments.defaults import Device
    from meta_shrink.experiments.train import check_trainable, train
    from meta_shrink.runs.workdir import open_workdir, recorded_text
    from meta_shrink.sections import call
    from meta_shrink.training.distribution import set_cpu_threads
    from meta_shrink.training.multi_worker import Workers
    from meta_shrink.training.profiling import parse_span

    cli.no_arguments(argv)
    config = as_dict("config", CONFIG.value)
    set_cpu_threads(cpu_threads=call("device", Device, config.get("device", {})).cpu_threads)
    strategy = chosen_strategy()
    workers = Workers(strategy)
    experiment = build(config, installed_components(cli.IMPORTS.value))
    check_trainable(experiment, strategy)
    profile = parse_span(PROFILE.value, experiment.schedule.steps)
    with workers.loss_told():
        workers.require_same("config", recorded_text(experiment.config))
        with (
            owned(WORKDIR.value, is_chief=workers.is_chief) as sync,
            open_workdir(
                WORKDIR.value,
                experiment.config,
                allow_config_change=ALLOW.value,
                is_chief=workers.is_chief,
            ) as workdir,
        ):
            train(experiment, workdir, strategy=strategy, profile=profile, sync=sync)
