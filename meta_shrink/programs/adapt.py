"""Adapt a backbone to new tasks: one small adapter file for each.

  meta-shrink adapt --backbone=backbones/omniglot --data=tasks --out=adapters

--data is one task or a folder of tasks. A task is an NPZ file with the arrays `inputs` and
`targets` (and `heldout_inputs`, `heldout_targets` for a held-out metric), or, for images, a folder
with a folder of pictures for each class. Only the backbone's task-specific modules adapt. Each
adapter is written when it is done; the same command goes on where it was stopped.
"""

from absl import flags

from meta_shrink.programs import cli

BACKBONE = flags.DEFINE_string("backbone", None, "Folder of export-backbone.", required=True)
DATA = flags.DEFINE_string("data", None, "One task, or a folder of tasks.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder for the adapters.", required=True)
STEPS = flags.DEFINE_integer(
    "steps", 0, "Adaptation steps; 0: as the backbone says.", lower_bound=0
)
SEED = flags.DEFINE_integer("seed", 0, "Of mini-batches and augmentation.")
ENCODING = flags.DEFINE_enum(
    "encoding", "f32", ["f32", "f16", "bf16", "int8_delta"], "How the files hold numbers."
)
POINTS = flags.DEFINE_integer(
    "points", 8, "About as many steps at which the metric is recorded.", lower_bound=2
)
EARLY_STOP = flags.DEFINE_integer(
    "early_stop", 0, "End after this many records without a better one; 0: never.", lower_bound=0
)
NUM_HELDOUT = flags.DEFINE_integer(
    "num_heldout", 0, "Of folders: pictures of each class kept for the metric.", lower_bound=0
)
CONSENT = flags.DEFINE_string("consent", "", "Text for the files: whose consent, to what.")
LICENCE = flags.DEFINE_string("licence", "", "Text for the files.")
ALLOW_OPERATIONS = flags.DEFINE_list(
    "allow_operations", [], "TensorFlow operations that the backbone may hold beside the usual."
)


def main(argv):
    """Adapt; see the module's docstring."""
    # Late, so that --help is quick.
    from meta_shrink.backbones.loaded import Backbone
    from meta_shrink.enrolment.adapt_tasks import AdaptOptions, adapt_tasks, mean_curve
    from meta_shrink.reporting.wording import Table

    cli.no_arguments(argv)
    backbone = Backbone.load(BACKBONE.value, allow_operations=ALLOW_OPERATIONS.value)
    options = AdaptOptions(
        steps=STEPS.value,
        seed=SEED.value,
        encoding=ENCODING.value,
        points=POINTS.value,
        early_stop=EARLY_STOP.value,
        num_heldout=NUM_HELDOUT.value,
        consent=CONSENT.value,
        licence=LICENCE.value,
    )
    tasks = adapt_tasks(backbone, DATA.value, OUT.value, options)
    curve = mean_curve(tasks)
    if curve:
        rows = [[step, f"{mean:.4f}", count] for step, mean, count in curve]
        cli.print_table(Table(["steps", "held-out metric", "tasks"], rows, []))
    size = max(entry["bytes"] for entry in tasks.values())
    print(f"{OUT.value}: {len(tasks)} adapters of at most {size:,} bytes, named in index.json.")
