"""The report of one run: figures and tables as files, and one self-contained HTML page."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from meta_shrink.durable_files import read_file, write_atomically
from meta_shrink.errors import ArtefactError, unwritable
from meta_shrink.reporting import wording
from meta_shrink.reporting.alt_text import alt_text
from meta_shrink.reporting.evaluation_file import (
    load_evaluation,
    load_metrics,
    number,
    sigma2_is_learned,
    title,
)
from meta_shrink.reporting.exhibits import Exhibit, all_exhibits
from meta_shrink.reporting.held_out import held_out_tasks
from meta_shrink.reporting.tensorboard_images import show_in_tensorboard

DOTS_PER_INCH = 170
TEMPLATE = Path(__file__).with_name("report_template.html")


def write_report(workdir: str | Path, out_dir: str | Path | None = None) -> Path:
    """Writes index.html, and each figure and table as PNG and CSV, into workdir/report.

    The figures are added to the workdir's TensorBoard data, if it has any.

    Args:
      workdir: holds evaluation.json; metrics.jsonl and config.json are used where they exist.
      out_dir: another place for the report.

    Returns:
      The path of index.html.

    Raises:
      ArtefactError: evaluation.json is missing, or a file is broken.
      UsageError: the report directory cannot be written.
    """
    workdir = Path(workdir)
    if out_dir is None:
        out_dir = workdir / "report"
        if out_dir.is_symlink():  # One that the user names may be.
            raise ArtefactError(f"{out_dir} is a symbolic link: remove it, or choose --out.")
    out_dir = Path(out_dir)
    evaluation, metrics = load_evaluation(workdir), load_metrics(workdir)
    exhibits = all_exhibits(evaluation, metrics)
    with_images = [(exhibit, png_bytes(exhibit.figure)) for exhibit in exhibits]
    config = workdir / "config.json"
    config_text = _config_text(config) if config.exists() else ""
    files = {f"{e.stem}.png": png for e, png in with_images if png}
    files |= {f"{e.stem}.csv": csv_bytes(e.columns, e.rows) for e, png in with_images if png}
    for stem, table in (("modules", wording.module_table), ("schemes", wording.scheme_table)):
        files[f"{stem}.csv"] = csv_bytes(table(evaluation).columns, table(evaluation).rows)
    files["index.html"] = render(evaluation, metrics, with_images, config_text).encode()
    stale = [f"{e.stem}.{end}" for e, png in with_images if not png for end in ("png", "csv")]
    write_files(out_dir, files, stale)
    if out_dir == workdir / "report":
        pngs = {exhibit.stem: png for exhibit, png in with_images if png}
        show_in_tensorboard(str(workdir / "tensorboard"), pngs, int(evaluation["meta_step"]))
    return out_dir / "index.html"


def _config_text(path: Path) -> str:
    """Raises ArtefactError if it is no file of text."""
    try:
        return read_file(str(path)).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ArtefactError(f"{path} cannot be read ({error}): restore or remove it.") from error


def write_files(out_dir: Path, files: dict[str, bytes], stale: Sequence[str] = ()) -> None:
    """Writes each file whole or not at all, and removes `stale` ones of an earlier report.

    Raises:
      UsageError: the directory cannot be written.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(str(out_dir / name), content)
        for name in stale:
            (out_dir / name).unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(str(out_dir), error) from error


def png_bytes(figure: Figure | None) -> bytes:
    """The figure as PNG; empty without a figure."""
    if figure is None:
        return b""
    FigureCanvasAgg(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return file.getvalue()


def csv_bytes(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """A CSV file with one line of column titles."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([columns, *rows])
    return file.getvalue().encode()


def render(
    evaluation: dict[str, Any],
    metrics: Sequence[dict[str, Any]],
    exhibits: Sequence[tuple[Exhibit, bytes]],
    config_text: str,
) -> str:
    """The HTML page; images are inside it."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    modules = wording.readable_modules(wording.module_table(evaluation))
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        evaluation=evaluation,
        held_out=held_out_tasks([evaluation]),
        algorithm=title(evaluation),
        discovery=wording.discovery(evaluation),
        outcome=wording.outcome(evaluation),
        beyond=wording.beyond_horizon(evaluation),
        learned=sigma2_is_learned(evaluation),
        sigma2_meaning=wording.SIGMA2_MEANING,
        exhibits=[
            {
                **e._asdict(),
                "image": base64.b64encode(png).decode(),
                "wide": is_wide(e.figure),
                "alt": alt_text(e.stem, e.columns, e.rows) if png else "",
            }
            for e, png in exhibits
            if e.caption
        ],
        tables=[
            ("Modules", "modules.csv", modules),
            ("What adapts, and how well", "schemes.csv", wording.readable_schemes(evaluation)),
        ],
        facts=run_facts(evaluation, metrics),
        config=readable_json(config_text),
    )


def is_wide(figure: Figure | None) -> bool:
    """Whether the page must let the reader scroll the figure sideways."""
    return figure is not None and figure.get_figwidth() > 9


def readable_json(content: str) -> str:
    """JSON with one key a line; anything else as it is."""
    try:
        return json.dumps(json.loads(content), indent=2, ensure_ascii=False)
    except ValueError:
        return content


def run_facts(evaluation: dict[str, Any], metrics: Sequence[dict[str, Any]]) -> list[list[str]]:
    """What ran, where, and whether training was healthy, as (name, value) pairs."""
    facts = [["experiment", evaluation["experiment"]], ["algorithm", title(evaluation)]]
    facts += [["meta-steps", f"{evaluation['meta_step']:,}"]]
    facts += [["evaluated on", held_out_tasks([evaluation])]]
    facts += [[name, str(value)] for name, value in evaluation["environment"].items()]
    health = {
        "tasks/nonfinite": ("tasks left out as non-finite (logged rows)", sum),
        "cg/residual_norm": ("last residual norm of conjugate gradient", lambda values: values[-1]),
    }
    for key, (name, fold) in health.items():
        values = [number(row[key]) for row in metrics if key in row]
        facts += [[name, f"{fold(values):.3g}"]] if values else []
    return facts
