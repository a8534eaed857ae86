"""What someone gets who installs the package alone: the wheel, in an environment of its own."""

import json
import os
import re
import subprocess
import sys
import tarfile
from email import message_from_string
from importlib.metadata import distribution
from pathlib import Path

import pytest
from flit_core import buildapi
from packaging.requirements import Requirement

import fpnotes

ROOT = Path(__file__).parents[2]
# What a bare install lacks: the module that needs it, what it needs first, and the extra that brings it.
EXTRAS = {
    "fpnotes.chapters.checks": ("pandas", "figures"),
    "fpnotes.chapters.diagrams": ("matplotlib", "figures"),
    "fpnotes.chapters.figures": ("matplotlib", "figures"),
    "fpnotes.chapters.interactive": ("matplotlib", "chapters"),
    "fpnotes.frameworks.jax": ("jax", "jax"),
    "fpnotes.frameworks.torch": ("torch", "torch"),
}
# And functions that need more than their module.
CALLS = {
    "fpnotes.load_digits(full=True)": ("pooch", "data"),
    "fpnotes.chapters.reproduce.results('mnist-exact-runs')": ("pandas", "figures"),
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
def installed(tmp_path_factory):
    """Return the Python of an environment that holds the wheel, what it needs, and nothing else."""
    home = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", str(home)]
    subprocess.run([*wheel, str(ROOT)], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home / "venv")], check=True)
    python = home / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    (site,) = (home / "venv").glob("**/site-packages")
    (wheel,) = home.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], check=True)

    (metadata,) = site.glob("fpnotes-*.dist-info/METADATA")
    lines = metadata.read_text().splitlines()
    asked = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]
    for found in needed(asked).values():
        for name in {file.parts[0] for file in found.files or [] if file.parts[0] != ".."}:
            (site / name).symlink_to(Path(str(found.locate_file(name))))

    return python


@pytest.fixture(scope="module")
def metadata(installed):
    """Return what the wheel says of itself, field by field."""
    (path,) = installed.parents[1].glob("**/site-packages/fpnotes-*.dist-info/METADATA")
    return message_from_string(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(installed):
    """Return a function that runs code there, and returns what it prints as JSON."""

    def run(code):
        done = subprocess.run(
            [installed, "-I", "-W", "error", "-c", code],
            cwd=installed.parents[2],
            capture_output=True,
            text=True,
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


def test_a_bare_install_says_which_extra_a_module_needs(run):
    """Every other module can be imported."""
    code = f"""
import importlib, json, pkgutil
import fpnotes, fpnotes.chapters.reproduce
missing = {{}}
def note(name, function, *arguments):
    try:
        function(*arguments)
    except ModuleNotFoundError as error:
        missing[name] = error.name, str(error)
for module in pkgutil.walk_packages(fpnotes.__path__, "fpnotes."):
    note(module.name, importlib.import_module, module.name)
for call in {list(CALLS)}:
    note(call, eval, call)
print(json.dumps(missing))
"""
    missing = run(code)
    assert {key: name for key, (name, _) in missing.items()} == {
        key: name for key, (name, _) in {**EXTRAS, **CALLS}.items()
    }
    for key, (name, extra) in {**EXTRAS, **CALLS}.items():
        function = key.partition("(")[0].removeprefix("fpnotes.").rpartition(".")[2]
        assert function in missing[key][1]
        end = f'needs {name}, which is not installed. Run: pip install "fpnotes[{extra}]"'
        assert missing[key][1].endswith(end)


def test_an_extra_brings_what_its_modules_need(metadata):
    """Else a reader would follow the message, and see it again."""

    def brings(extra):
        names = set()
        for requirement in map(Requirement, metadata.get_all("Requires-Dist")):
            if requirement.marker and requirement.marker.evaluate({"extra": extra}):
                further = [name for other in requirement.extras for name in brings(other)]
                names |= {requirement.name, *further}
        return names

    for name, extra in {**EXTRAS, **CALLS}.values():
        assert name in brings(extra)
    assert "ipywidgets" in brings("chapters")  # and with it IPython


def test_the_version_stands_in_one_place_and_is_cited(metadata):
    assert metadata["Version"] == fpnotes.__version__
    cited = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert cited == [fpnotes.__version__]


def test_the_readme_leads_somewhere_from_any_page(metadata):
    """A package index shows it, where a path inside the repository means nothing."""
    text = metadata.get_payload()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 5 and all(link.startswith("https://") for link in links)


def test_the_wheel_says_that_it_is_typed(installed):
    assert len(list(installed.parents[1].glob("**/site-packages/fpnotes/py.typed"))) == 1


def test_the_sdist_brings_its_tests_and_licenses(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with tarfile.open(tmp_path / buildapi.build_sdist(str(tmp_path))) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests/package").glob("*.py")}
    assert names >= tests | set(LICENSES) | {"CHANGELOG.md", "CITATION.cff", "tests/conftest.py"}


LICENSES = {
    "LICENSE": "BSD 3-Clause License",
    "fpnotes/data/README.md": "under the Creative Commons Attribution-ShareAlike 3.0 license",
}


def test_the_wheel_names_the_licenses_of_the_code_and_of_the_digits(metadata, installed):
    assert metadata["License-Expression"] == "BSD-3-Clause AND CC-BY-SA-3.0"
    assert metadata.get_all("License-File") == list(LICENSES)
    for name, words in LICENSES.items():
        (copy,) = installed.parents[1].glob(f"**/site-packages/fpnotes-*/licenses/{name}")
        assert words in " ".join(copy.read_text(encoding="utf-8").split())


# ---- Where it may run ----

SHORT = """
import numpy as np
import fpnotes as fp

rng = np.random.default_rng(0)
W, x, y = (rng.normal(size=shape) for shape in ((6, 6), (9, 6), (9, 6)))
task = fp.LinearRegression(0.1 * W, x, y)
history = fp.train(task, fp.linearized, 0.1, 5, seed=0)
runs = fp.sweep(task, {fp.gradient: [0.01, 0.02]}, 5, seeds=range(2), folder="runs")
point = fp.solve(0.1 * W, 1e4 * x, "softplus")
print(history, len(runs), sum(run.loss[-1] for run in runs.values()).round(9), point.converged)
"""
# How Python is called, its environment, and what runs before the package is imported.
PLACES = {
    "a console of Windows": ([], {"PYTHONIOENCODING": "cp1252"}, ""),
    "a console of ASCII": ([], {"PYTHONIOENCODING": "ascii"}, ""),
    "no color": ([], {"NO_COLOR": "1", "TERM": "dumb"}, ""),
    "another locale": ([], {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, ""),
    "no console at all": ([], {}, "import sys; sys.stderr = None"),
    "arithmetic that raises": ([], {}, "import numpy; numpy.seterr(all='raise')"),
    "no assertions, no docstrings": (["-OO"], {}, ""),
    "warnings that raise": (["-W", "error"], {}, ""),
}
# As in a notebook; IPython itself is no part of a bare install, and nor is ipywidgets.
NOTEBOOK = """
import sys, types
kernel = types.SimpleNamespace(config={"IPKernelApp": {}})
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: kernel)
"""


@pytest.fixture(scope="module")
def short(installed, tmp_path_factory):
    """Return a function that runs a short script in a new folder, without a terminal."""
    clean = {k: v for k, v in os.environ.items() if not re.match("PYTHON|LC_|LANG", k)}

    def short(options=(), environment=(), before="", complaint="$.^"):
        """Return what the script prints, after seeing that it shows nothing but progress."""
        done = subprocess.run(
            [installed, "-P", "-s", *options, "-c", before + SHORT],
            cwd=tmp_path_factory.mktemp("elsewhere"),
            env={**clean, **dict(environment)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        shown = done.stderr.decode("utf-8", "replace")
        assert done.returncode == 0, shown
        lines = [line.strip() for line in re.split(r"[\r\n]+", shown) if line.strip()]
        progress = re.compile(rf"(lr 0\.1|runs): +\d+%\||{complaint}")
        assert all(map(progress.match, lines)), shown
        return done.stdout.decode("ascii")

    return short


@pytest.fixture(scope="module")
def expected(short):
    return short()


@pytest.mark.parametrize("place", PLACES)
def test_a_short_training_is_the_same_wherever_it_runs(place, short, expected):
    assert short(*PLACES[place]) == expected


def test_a_notebook_without_ipywidgets_shows_progress_as_text(short, expected):
    """After tqdm's own advice to install them."""
    assert short(before=NOTEBOOK, complaint=".*(IProgress not found|notebook_tqdm)") == expected


def test_nothing_is_written_where_the_package_is(short, expected, installed):
    (package,) = installed.parents[1].glob("**/site-packages/fpnotes")
    folders = [package, *(path for path in package.rglob("*") if path.is_dir())]
    before = sorted(package.rglob("*"))
    for folder in folders:
        folder.chmod(0o555)  # the superuser may write all the same, and so the files are compared
    try:
        assert short(["-B"]) == expected
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert sorted(package.rglob("*")) == before


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
