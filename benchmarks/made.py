"""What every result says of itself: command, date, machine, versions; and how it is written."""

import datetime
import os
import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

from threadpoolctl import threadpool_info

from fpnotes.chapters import reproduce

# Where the book's page on speed finds it.
DATA = Path(__file__).parents[1] / "fpnotes" / "chapters" / "tables"
OURS = ("fpnotes", "numpy", "scipy")
PEERS = ("autograd", "jax", "jaxlib", "jaxopt", "lineax", "optimistix", "torch", "torchdeq")


def made(peers=False):
    """Return the lines that say how, when, where and with what a result was measured."""
    blas = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    kernels = {f"{b['internal_api']} {b['version']}, {b.get('architecture')} kernel" for b in blas}
    return [
        shlex.join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]]),
        f"{datetime.date.today()}, {_processor()}, {os.cpu_count()} cores, {platform.system()}, "
        f"load {os.getloadavg()[0]:.0f} at the end",
        ", ".join(
            [f"Python {platform.python_version()}"]
            + [f"{name} {version(name)}" for name in (OURS + PEERS if peers else OURS)]
            + sorted(kernels)
        ),
    ]


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(
                line.split(":")[1].strip() for line in file if line.startswith("model name")
            )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def write(path, lines, rows):
    """Write rows as CSV, as the package writes its tables, and print them in Markdown."""
    reproduce.write(path, lines, rows)
    print("\n".join(lines), markdown(rows), sep="\n\n")


def markdown(rows):
    """Return rows as a table in Markdown, numbers to three digits."""

    def cell(value):
        return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)

    names = list(rows[0])
    lines = [names, ["---"] * len(names)] + [[cell(row[name]) for name in names] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
