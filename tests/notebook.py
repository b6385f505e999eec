"""Executes docs/own_data.ipynb anew and keeps what its cells print: `make notebook`."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "own_data.ipynb"


def executed() -> nbformat.NotebookNode:
    """The notebook with the outputs of this machine, but for stderr: progress and TensorFlow's."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=1200, kernel_name="python3").execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # When it ran.
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)
