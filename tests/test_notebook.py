"""The notebook of docs/: it runs from the first cell to the last, and holds what it printed."""

from __future__ import annotations

import nbformat
import pytest

from tests.notebook import NOTEBOOK, executed


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What each cell of code shows: streams and values."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [[out.get("text") or out["data"]["text/plain"] for out in c.outputs] for c in cells]
    return ["".join(texts) for texts in shown]


def test_it_holds_the_outputs_of_one_execution_in_order():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    shown = "\n".join(printed(notebook))
    for word in ("places", "hidden", "level", "all modules", "Velvet"):
        assert word in shown
    assert "stderr" not in NOTEBOOK.read_text()


@pytest.mark.slow
def test_it_runs():
    pytest.importorskip("vega_datasets")
    before = printed(nbformat.read(NOTEBOOK, as_version=4))
    after = printed(executed())
    assert [bool(text) for text in after] == [bool(text) for text in before]
    assert after[2] == before[2]  # The names of the tasks.
