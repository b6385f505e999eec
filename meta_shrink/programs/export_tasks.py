"""Write held-out tasks of a trained workdir as files, as `adapt` reads them.

  meta-shrink export-tasks --workdir=runs/omniglot --out=tasks --count=10

One NPZ file a task, with the arrays of the model's inputs, `targets`, and both with `heldout_` in
front. To try a backbone, and as an example of the format.
"""

from absl import flags

from meta_shrink.programs import cli

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a trained run.", required=True)
OUT = flags.DEFINE_string("out", None, "Folder for the files.", required=True)
COUNT = flags.DEFINE_integer(
    "count", None, "Number of tasks; by default 10, or as many as there are.", lower_bound=1
)


def main(argv):
    """Write; see the module's docstring."""
    # Late, so that --help is quick.
    from meta_shrink.experiments.components import installed_components
    from meta_shrink.experiments.export import write_tasks

    cli.no_arguments(argv)
    components = installed_components(cli.IMPORTS.value)
    paths = write_tasks(WORKDIR.value, OUT.value, count=COUNT.value, components=components)
    print(f"{OUT.value}: {len(paths)} tasks.")
