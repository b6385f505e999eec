"""Evaluate a trained workdir on held-out tasks and say what was found.

  python -m launch.evaluate --workdir=runs/sinusoid

Adapts all modules, the discovered ones, and each group of modules alone, and writes
evaluation.json beside the checkpoints; python -m launch.report turns it into a page.
"""

from absl import flags

from launch import cli
from meta_shrink.distribution import set_cpu_threads
from meta_shrink.evaluation_job import evaluate
from meta_shrink.experiment import call
from meta_shrink.reporting.summary import headline, module_table, readable_modules, readable_schemes
from meta_shrink.workdir import StopSignal, read_config

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a trained run.", required=True)


def main(argv):
    """Evaluate; see the module's docstring."""
    cli.no_arguments(argv)
    call("device", set_cpu_threads, read_config(WORKDIR.value)["device"])
    with StopSignal() as stop:
        evaluation = evaluate(WORKDIR.value, stop_requested=lambda: stop.requested)
    cli.print_table(readable_modules(module_table(evaluation)))
    cli.print_table(readable_schemes(evaluation))
    print(headline(evaluation))


if __name__ == "__main__":
    cli.run(main)
