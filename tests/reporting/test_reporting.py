"""The report on evaluations made here: few modules, many, and odd ones."""

from __future__ import annotations

import math
import os
import re
from html.parser import HTMLParser

import pytest

from meta_shrink import ArtefactError, UsageError
from meta_shrink.reporting import (
    check_evaluation,
    evaluation_file,
    load_evaluation,
    wording,
    write_report,
)
from tests.reporting_samples import PNG, large, metric_rows, read_csv, small, with_extras, write_run


class Page(HTMLParser):
    """Counts tags and their `src` and `href`; every tag but the void ones must be closed."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.targets += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_report_of_six_modules(tmp_path):
    evaluation = with_extras(small())
    page = write_report(write_run(tmp_path, evaluation, metric_rows(evaluation)))
    text = page.read_text(encoding="utf-8")
    parsed = Page(text)
    assert parsed.open == []
    assert len(parsed.targets) == 6  # Images, and all of them inside the file.
    assert all(target.startswith("data:image/png;base64,") for target in parsed.targets)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert "Of 6 modules, 2 are task-specific: w0, b0 – 4.6 % of the parameters" in text
    assert "After 100 adaptation steps, adapting them alone gives a held-out mean squared" in text
    stems = ["sigma2", "single_modules", "adaptation", "learning_curves"]
    stems += ["parameter_error", "examples"]
    for stem in stems:
        assert (page.parent / f"{stem}.png").read_bytes().startswith(PNG)
        assert read_csv(page.parent / f"{stem}.csv")
    sigma2 = read_csv(page.parent / "sigma2.csv")
    assert [row["module"] for row in sigma2] == ["w0", "b0", "w1", "b1", "w2", "b2"]
    assert float(sigma2[0]["sigma2"]) == evaluation["modules"][0]["sigma2"]
    assert len(read_csv(page.parent / "modules.csv")) == 6
    assert len(read_csv(page.parent / "schemes.csv")) == 6


def test_report_of_123_modules(tmp_path):
    evaluation = large()
    page = write_report(write_run(tmp_path, evaluation, metric_rows(evaluation)))
    text = page.read_text(encoding="utf-8")
    assert "Of 123 modules, 12 are task-specific: block_10/dilated_conv, " in text
    assert "and 9 more – 16.0 % of the parameters" in text
    assert (
        "When everything adapts for 10,000 steps, the mean squared error is 0.121 ± 0.018, the"
        in text
    )
    assert len(read_csv(page.parent / "modules.csv")) == 123


def test_two_reports_of_one_run_are_equal(tmp_path):
    run = write_run(tmp_path, small())
    first = write_report(run).read_bytes()
    assert write_report(run, tmp_path / "again").read_bytes() == first


def test_sigma2_that_is_not_learned(tmp_path):
    stale = tmp_path / "report" / "sigma2.png"
    write_report(write_run(tmp_path, small()))
    assert stale.exists()
    page = write_report(write_run(tmp_path, small(algorithm="maml")))
    text = page.read_text(encoding="utf-8")
    assert not stale.exists()
    assert "so there is nothing to draw. σ² is fixed at ∞ (no prior)." in text
    assert "adapting only layer_1, the best single choice, gives a held-out mean squared" in text
    assert "There are no learning curves" in text


# Also on the bounds of the learned ones, all alike, and of one module (iMAML's 1/lambda).
VARIANCES = [[0.3, 1e-5], [1e-5], [1e5], [0.5], ["inf"], [0], [0.5] * 2, [1e5] * 2, ["inf", 0.5]]


@pytest.mark.parametrize("values", VARIANCES)
@pytest.mark.parametrize("learned", [True, False])
def test_sigma2_is_learned(values, learned, tmp_path):
    """Whatever the values are: the evaluation says it, and so does the page."""
    modules = [
        {"name": f"m{i}", "size": 1, "share": 0.5, "bytes": 4, "sigma2": v, "task_specific": False}
        for i, v in enumerate(values)
    ]
    evaluation = small(algorithm="sigma_imaml" if learned else "imaml")
    schemes = [s | {"modules": []} for s in evaluation["schemes"] if s["kind"] != "selected"]
    selection = evaluation["selection"] | {"modules": []}
    evaluation |= {"modules": modules, "selection": selection, "schemes": schemes}
    assert evaluation_file.sigma2_is_learned(evaluation) is learned
    text = write_report(write_run(tmp_path, evaluation)).read_text(encoding="utf-8")
    assert ("does not learn which modules are task-specific" in text) is not learned
    assert ("are not separated: no rule was met" in text) is (learned and len(values) > 1)
    assert ("no other σ² to compare its own with" in text) is (learned and len(values) == 1)
    assert (tmp_path / "report" / "sigma2.png").exists() is learned


@pytest.mark.parametrize(
    ("mean", "ci95", "text"),
    [
        (0.1234, 0.0187, "0.123 ± 0.019"),
        (12345.6, 321, "12,346 ± 321"),
        (0.97312, 0.0008, "0.97312 ± 0.00080"),
        (1.5, 0.0, "1.5"),
        (math.nan, 1.0, "diverged"),
        (2.0, math.nan, "2"),
    ],
)
def test_plus_minus(mean, ci95, text):
    assert evaluation_file.plus_minus(mean, ci95) == text


def test_metric_is_taken_at_the_training_horizon():
    curve = {"steps": [0, 90, 110], "mean": [3, 1, 2], "ci95": [0, 0, 0]}
    assert evaluation_file.estimate_at(curve, 100) == (90, 1, 0)
    evaluation = {"metric": {"lower_is_better": False}}
    assert evaluation_file.best_of(evaluation, curve).step == 0


def test_odd_values_are_drawn(tmp_path):
    evaluation = small()
    evaluation["modules"][1]["sigma2"], evaluation["modules"][2]["sigma2"] = "inf", 0
    evaluation["modules"][0]["name"] = "<b>$w_0$</b>"
    for curve in evaluation["schemes"]:
        curve["modules"] = [m if m != "w0" else "<b>$w_0$</b>" for m in curve["modules"]]
    evaluation["selection"]["modules"] = ["<b>$w_0$</b>", "b0"]
    evaluation["schemes"][2]["mean"] = ["nan"] * 10
    evaluation["schemes"][3]["mean"][-1] = None
    text = write_report(write_run(tmp_path, evaluation)).read_text(encoding="utf-8")
    assert "<b>" not in text
    assert "diverged" in text


def test_negative_metric_and_higher_is_better(tmp_path):
    evaluation = small()
    evaluation["metric"] = {"name": "log-likelihood", "lower_is_better": False}
    for curve in evaluation["schemes"]:
        curve["mean"] = [-value for value in curve["mean"]]
    text = write_report(write_run(tmp_path, evaluation)).read_text(encoding="utf-8")
    assert "higher is better" in text
    assert "less everything" not in text


def test_no_module_selected():
    evaluation = small()
    evaluation["selection"] |= {"modules": []}
    evaluation["schemes"] = [s for s in evaluation["schemes"] if s["kind"] != "selected"]
    for number, module in enumerate(evaluation["modules"]):
        module |= {"sigma2": 0.5 * 1.2**number, "task_specific": False}
    assert wording.headline(evaluation).startswith(
        "The σ² of the 6 modules are not separated: no rule was met (σ² above 0.001), and the "
        "widest gap between neighbours is 1.2 times."
    )


def test_missing_evaluation_names_the_command(tmp_path):
    with pytest.raises(ArtefactError, match=r"meta-shrink evaluate --workdir=.*then report"):
        load_evaluation(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.pop("schemes"), "lacks schemes"),
        (lambda e: e["modules"][0].pop("sigma2"), "modules lacks sigma2"),
        (lambda e: e["schemes"][0]["mean"].pop(), "equally long"),
        (lambda e: e["schemes"][0]["modules"].append("w9"), r"unknown modules \['w9'\]"),
        (lambda e: e["schemes"][0].update(kind="some"), "kind 'some'"),
        (lambda e: e["modules"].clear(), "no modules"),
        (lambda e: e.update(metric=3), "metric is not"),
    ],
)
def test_broken_evaluation(change, message):
    evaluation = small()
    change(evaluation)
    with pytest.raises(ArtefactError, match=message):
        check_evaluation(evaluation)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null"])
def test_evaluation_that_is_no_evaluation(tmp_path, content):
    (tmp_path / "evaluation.json").write_text(content)
    with pytest.raises(ArtefactError, match="is broken"):
        load_evaluation(tmp_path)


def test_unwritable_report_directory(tmp_path):
    run = write_run(tmp_path, small())
    (run / "report").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be written"):
        write_report(run)


@pytest.mark.parametrize("put", ["folder", "pipe", "bytes"])
def test_a_config_that_is_no_file_of_text_is_told(put, tmp_path):
    run = write_run(tmp_path, small())
    config = run / "config.json"
    config.unlink(missing_ok=True)
    if put == "folder":
        config.mkdir()
    elif put == "pipe":
        os.mkfifo(config)
    else:
        config.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArtefactError, match=r"config\.json cannot be read .*restore or remove it"):
        write_report(run)
    assert not (run / "report").exists()
