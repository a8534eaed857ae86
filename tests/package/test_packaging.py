"""What someone gets who installs the package alone: the wheel, in an environment of its own."""

import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
EXTRAS = {
    "fpnotes.chapters.checks": "pandas",
    "fpnotes.chapters.figures": "matplotlib",
    "fpnotes.chapters.interactive": "matplotlib",
}


def needed(requirements):
    """Return the distributions that requirements without any extra ask for, and those that these ask for."""
    found, todo = {}, list(requirements or [])
    while todo:
        requirement = Requirement(todo.pop())
        if requirement.name in found or not (
            requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ):
            continue
        found[requirement.name] = distribution(requirement.name)
        todo += found[requirement.name].requires or []
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that runs code where there is the wheel, what it needs, and nothing else."""
    home = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", str(home)]
    subprocess.run([*wheel, str(ROOT)], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home / "venv")], check=True)
    python = home / "venv/bin/python"
    (site,) = (home / "venv/lib").glob("python*/site-packages")
    (wheel,) = home.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], check=True)

    (metadata,) = site.glob("fpnotes-*.dist-info/METADATA")
    lines = metadata.read_text().splitlines()
    asked = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]
    for found in needed(asked).values():
        for name in {file.parts[0] for file in found.files or [] if file.parts[0] != ".."}:
            (site / name).symlink_to(Path(str(found.locate_file(name))))

    def run(code):
        done = subprocess.run(
            [python, "-I", "-W", "error", "-c", code], cwd=home, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_importing_the_package_imports_little(run):
    """No figures, tables, widgets or SciPy: what a reader waits for at the first import."""
    code = """
import sys
before = set(sys.modules)
import fpnotes, json
# Cython's own entries have no spec.
files = {name for name, module in sys.modules.items() if getattr(module, "__spec__", None)}
names = {name.partition(".")[0] for name in files - before}
print(json.dumps([fpnotes.__file__, sorted(names - sys.stdlib_module_names)]))
"""
    where, names = run(code)
    assert "site-packages" in where
    assert set(names) <= {"autograd", "fpnotes", "numpy", "threadpoolctl", "tqdm"}


def test_every_module_imports_without_extras_but_those_that_show_things(run):
    code = """
import importlib, json, pkgutil
import fpnotes
missing = {}
for module in pkgutil.walk_packages(fpnotes.__path__, "fpnotes."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        missing[module.name] = error.name
print(json.dumps(missing))
"""
    assert run(code) == EXTRAS


def test_the_installed_package_works(run):
    """Data files and SciPy are found when they are needed."""
    code = """
import json
import numpy as np
import fpnotes as fp
_, r = fp.RateNetwork([[0.5]], "linear").simulate([1.0], 30.0)
task = fp.Digits.published(n=10)
loss = fp.train(task, fp.linearized, 0.1, 1, seed=0, progress=False).loss
print(json.dumps([float(r[-1, 0]), bool(np.isfinite(loss).all()), len(task.x)]))
"""
    settled, finite, images = run(code)
    assert settled == pytest.approx(2, abs=1e-4)
    assert finite and images == 10_000
