"""Run the notebooks beside this file in a kernel and save what they show.

    pip install nbclient ipykernel && python examples/notebooks/run.py [NAME.ipynb ...]

They run in a temporary folder, so that nothing is left behind, and no path of this machine is in
what is saved.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def run_notebook(path: Path, folder: Path) -> Any:
    """Return a notebook as it is after all of its cells were run in a folder."""
    import nbformat
    from nbclient import NotebookClient

    shutil.copy(HERE / "stand_ins.py", folder)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.clear()
    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    return notebook


def main() -> None:
    """Run some notebooks, or all of them, and write them back."""
    import nbformat

    os.environ["FEATX_CACHE_DIR"] = tempfile.mkdtemp()
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(HERE.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            notebook = run_notebook(path, Path(folder))
            text = nbformat.writes(notebook)
            if folder in text or str(Path.home()) in text:
                raise SystemExit(f"{path.name} shows a path of this machine:\n{text}")
        path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
