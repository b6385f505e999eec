"""Writes the report of a run, or the comparison of several.

    meta-shrink report --workdir=DIR                  DIR/report/index.html
    meta-shrink report --workdir=A,B,C --out=OUT      OUT/comparison.md

The runs must have been evaluated (meta-shrink evaluate --workdir=DIR).
"""

from __future__ import annotations

from absl import flags

from meta_shrink.errors import UsageError
from meta_shrink.programs import cli

_WORKDIR = flags.DEFINE_multi_string(
    "workdir", None, "Directory of the run; several (repeated, or with commas) are compared."
)
flags.mark_flag_as_required("workdir")
_OUT = flags.DEFINE_string(
    "out", None, "Where to write. Default for one run: its workdir/report; needed for several."
)


def main(argv: list[str]) -> None:
    """Report or comparison, as the number of workdirs says."""
    # Late, so that --help is quick.
    from meta_shrink.reporting import load_evaluation, write_comparison, write_report
    from meta_shrink.reporting.held_out import stale

    cli.no_arguments(argv)
    workdirs = [part for value in _WORKDIR.value or [] for part in value.split(",") if part]
    if not workdirs:
        raise UsageError("--workdir is empty; name the directory of a run.")
    if len(workdirs) > 1 and not _OUT.value:
        raise UsageError("--out is missing: say where to write the comparison of several runs.")
    evaluations = [load_evaluation(workdir) for workdir in workdirs]
    if len(workdirs) == 1:
        print(f"Report: {write_report(workdirs[0], _OUT.value)}")
    else:
        print(f"Comparison: {write_comparison(_OUT.value or '', evaluations)}")
    for sentence in filter(None, map(stale, workdirs, evaluations)):
        print(sentence)
