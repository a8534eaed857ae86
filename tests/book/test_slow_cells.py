"""A cell that runs out of time fails alone: the cells after it, which may pass, are not failures too."""

import subprocess
import sys
from pathlib import Path

from nbformat import v4, write

ROOT = Path(__file__).parents[2]


def test_cells_after_a_slow_one_may_pass(tmp_path):
    sources = ["import time", "time.sleep(60)", "1 + 1"]
    cells = [v4.new_code_cell(source, execution_count=1) for source in sources]
    write(v4.new_notebook(cells=cells), tmp_path / "slow.ipynb")
    # Somebody else's tests beside it, which pytest comes across on the way, are not ours to judge.
    (tmp_path / "test_of_others.py").touch()
    options = [
        *("-c", "pyproject.toml", "-p", "tests.conftest", "-p", "no:cacheprovider"),
        *("--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "3"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, tmp_path / "slow.ipynb"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "1 failed, 1 passed, 1 xpassed" in done.stdout, done.stdout
