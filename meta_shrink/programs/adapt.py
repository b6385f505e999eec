"""Adapt a backbone to new tasks: one small adapter file for each.

  meta-shrink adapt --backbone=backbones/omniglot --data=tasks --out=adapters

--data is one task or a folder of tasks. A task is an NPZ file with the arrays `inputs` and
`targets` (and `heldout_inputs`, `heldout_targets` for a held-out metric), or, for images, a folder
with a folder of pictures for each class. Only the backbone's task-specific modules adapt. Each
adapter is written when it is done; the same command goes on where it was stopped. A task that
cannot be read is left out, and named at the end (exit code 3). --processes=N adapts N tasks at a
time, to the same adapters.
"""

from absl import flags

from meta_shrink.programs import cli
from meta_shrink.programs.adaptation import OUT, PROCESSES, chosen_backbone, chosen_options

DATA = flags.DEFINE_string("data", None, "One task, or a folder of tasks.", required=True)
NUM_HELDOUT = flags.DEFINE_integer(
    "num_heldout", 0, "Of folders: pictures of each class kept for the metric.", lower_bound=0
)


def main(argv):
    """Adapt; see the module's docstring."""
    # Late, so that --help is quick.
    from meta_shrink.enrolment.adapt_tasks import adapt_tasks, left_out_error, mean_curve
    from meta_shrink.reporting.wording import Table

    cli.no_arguments(argv)
    options = chosen_options(num_heldout=NUM_HELDOUT.value)
    how: dict = {"processes": PROCESSES.value, "left_out": {}}
    tasks = adapt_tasks(chosen_backbone(), DATA.value, OUT.value, options, **how)
    curve = mean_curve(tasks)
    if curve:
        rows = [[step, f"{mean:.4f}", count] for step, mean, count in curve]
        cli.print_table(Table(["steps", "held-out metric", "tasks"], rows, []))
    size = max((entry["bytes"] for entry in tasks.values()), default=0)
    print(f"{OUT.value}: {len(tasks)} adapters of at most {size:,} bytes, named in index.json.")
    if how["left_out"]:
        raise left_out_error(how["left_out"], len(tasks) + len(how["left_out"]))
