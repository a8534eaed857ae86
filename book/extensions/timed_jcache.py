"""jcache, which runs chapters, with one thing more: it keeps how many seconds each cell took.

They are in the notebook's metadata, by which jcache does not know a chapter again: in a cell's they would
make it another chapter. Where processes are not forked, as on macOS, the workers do not have this, and no
times are kept.
"""

from datetime import datetime

from jupyter_cache.cli.commands.cmd_main import jcache
from jupyter_cache.executors import basic
from jupyter_cache.executors.utils import single_nb_execution


def seconds(times):
    """Return how long a cell ran, by what nbclient recorded; 0 where it did not run to its end."""
    ends = [times.get(f"iopub.status.{state}") for state in ("busy", "idle")]
    if not all(ends):
        return 0.0
    start, end = map(datetime.fromisoformat, ends)
    return (end - start).total_seconds()


def timed(nb, **options):
    """Run a notebook, and keep the seconds of its cells with code, in their order."""
    result = single_nb_execution(nb, record_timing=True, **options)
    cells = [cell for cell in nb.cells if cell.cell_type == "code"]
    nb.metadata["seconds"] = [seconds(cell.metadata.pop("execution", {})) for cell in cells]
    return result


if __name__ == "__main__":
    basic.single_nb_execution = timed
    jcache()
