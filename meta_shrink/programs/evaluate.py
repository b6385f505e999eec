"""Evaluate a trained workdir on held-out tasks and say what was found.

  meta-shrink evaluate --workdir=runs/sinusoid

Adapts all modules, the discovered ones, and each group of modules alone, and writes
evaluation.json beside the checkpoints; meta-shrink report turns it into a page. Flags left
out have the values of the run's config (its section `eval`).
"""

from absl import flags

from meta_shrink.errors import UsageError
from meta_shrink.programs import cli
from meta_shrink.programs.places import require_writable
from meta_shrink.programs.strategy import chosen_strategy

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a trained run.", required=True)
OVERRIDES = {
    "num_tasks": flags.DEFINE_integer("num_tasks", None, "Held-out tasks to adapt."),
    "steps": flags.DEFINE_integer("steps", None, "Adaptation steps at which results are quoted."),
    "horizon": flags.DEFINE_integer("horizon", None, "Adapt on to this many times these steps."),
    "kinds": flags.DEFINE_list(
        "kinds", None, "What adapts: all, selected, single (each group alone)."
    ),
    "group_tasks": flags.DEFINE_integer("group_tasks", None, "Held-out tasks of single groups."),
    "group_horizon": flags.DEFINE_integer("group_horizon", None, "Horizon of single groups."),
    "inductive": flags.DEFINE_bool(
        "inductive", None, "Measure with the moments of a task's training data as well."
    ),
}
CPU_THREADS = flags.DEFINE_integer("cpu_threads", None, "As the config's device.cpu_threads.")


def main(argv):
    """Evaluate; see the module's docstring."""
    # Late, so that --help is quick.
    from meta_shrink.experiments.components import installed_components
    from meta_shrink.experiments.defaults import Device
    from meta_shrink.experiments.evaluate import evaluate
    from meta_shrink.runs.workdir import read_config
    from meta_shrink.sections import call
    from meta_shrink.training.distribution import set_cpu_threads
    from meta_shrink.training.multi_worker import Workers

    cli.no_arguments(argv)
    for name in ("group_tasks", "group_horizon"):
        if OVERRIDES[name].present and "single" not in (OVERRIDES["kinds"].value or ["single"]):
            raise UsageError(f"--{name} is of single groups, which --kinds leaves out.")
    require_writable(WORKDIR.value)
    device = call("device", Device, read_config(WORKDIR.value).get("device", {}))
    given = CPU_THREADS.value
    set_cpu_threads(cpu_threads=device.cpu_threads if given is None else given)
    overrides = {name: flag.value for name, flag in OVERRIDES.items() if flag.value is not None}
    components = installed_components(cli.IMPORTS.value)
    strategy = chosen_strategy()
    workers = Workers(strategy)
    with workers.loss_told():
        evaluation = evaluate(
            WORKDIR.value,
            overrides=overrides,
            components=components,
            strategy=strategy,
            unsaved=show,
        )
    if workers.is_chief:
        show(evaluation)


def show(evaluation):
    """Print what was found."""
    # Late, so that --help is quick.
    from meta_shrink.reporting.wording import (
        headline,
        module_table,
        readable_modules,
        readable_schemes,
    )

    cli.print_table(readable_modules(module_table(evaluation)))
    cli.print_table(readable_schemes(evaluation))
    print(headline(evaluation))
