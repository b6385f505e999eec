"""Export the backbone of a trained workdir: one SavedModel that takes adapters as inputs.

  meta-shrink export-backbone --workdir=runs/omniglot --out=backbones/omniglot

Writes the next version below --out: a SavedModel that TF Serving takes as it is, its module table,
the adapter of phi, and a README with sizes and held-out metrics. Modules are selected by the rule
of the run's config, by --rule and --value, or by name.
"""

from absl import flags

from meta_shrink.programs import cli
from meta_shrink.programs.loading import ALLOW_OPERATIONS
from meta_shrink.programs.selection import selected

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a trained run.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder of the backbone's versions.", required=True)
NUM_TASKS = flags.DEFINE_integer(
    "num_tasks",
    None,
    "Held-out tasks to adapt and serve, for the README; 0: none. By default 20, or as many as "
    "there are.",
    lower_bound=0,
)


def main(argv):
    """Export; see the module's docstring."""
    # Late, so that --help is quick.
    from meta_shrink.experiments.export import export_backbone
    from meta_shrink.prior import BYTES_PER_PARAMETER
    from meta_shrink.reporting.wording import Table

    cli.no_arguments(argv)
    info = export_backbone(
        WORKDIR.value,
        OUT.value,
        num_tasks=NUM_TASKS.value,
        allow_operations=ALLOW_OPERATIONS.value,
        **selected(),
    )
    rows = [
        [
            module.name,
            f"{module.size:,}",
            "none" if module.sigma2 is None else f"{module.sigma2:.3g}",
            f"{BYTES_PER_PARAMETER * module.size:,}",
            "yes" if module.selected else "",
        ]
        for module in info.modules
    ]
    columns = ["module", "parameters", "sigma^2", "bytes", "task-specific"]
    cli.print_table(Table(columns, rows, []))
    held = cli.modules_in_words(info.selected, len(info.modules))
    print(f"{OUT.value}: adapters hold {held}; see {OUT.value}/README.md.")
    if not info.mixed:
        print(f"Batches are served adapter by adapter: {info.mixed_reason}.")
