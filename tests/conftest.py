"""Shared by all tests: hypothesis, and which tests can run here."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

# A deadline would judge the machine: how long an example takes is no property of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# For tests/tools/mutants.py, which runs a file of tests hundreds of times: quick, and every time the same.
settings.register_profile(
    "mutants", deadline=None, max_examples=10, derandomize=True, database=None
)

ROOT = Path(__file__).parents[1]
# nbval must run whole chapters (tests/book/notebooks.py), not the stored outputs alone.
collect_ignore = ["book/outputs"]

# What the tests of the package do without: Python packages, what make builds first, and the command for both.
BOOK = ["jupytext", "matplotlib", "myst_nb", "pandas", "sphinx"]
PAGES = [*BOOK, "_build/html/index.html"]
NEEDS = {
    "book": (BOOK, "make test"),
    "site": (PAGES, "make test"),
    "site/test_notebooks.py": (["_build/notebooks"], "make test"),
    "site/browser": ([*PAGES, "Chromium"], "make test-browser"),
    "site/browser/test_print.py": (["_build/learning-fixed-points.pdf"], "make test-browser"),
    "site/browser/test_slides.py": (["dist/slides"], "make test-browser"),
    "site/browser/test_lab.py": (["_build/notebooks"], "make test-notebooks"),
    "site/browser/test_lite.py": (["_build/lite", "_build/pyodide"], "make test-lite"),
    "course": ([*PAGES, "dist/autograder"], "make test-assignments"),
    "frameworks/test_jax.py": (["jax"], "make test-frameworks"),
    "frameworks/test_torch.py": (["torch"], "make test-frameworks"),
}


def there(need):
    """Return whether something that tests need is on this machine."""
    if need == "Chromium":
        return bool(os.environ.get("CHROMIUM") or shutil.which("chromium"))
    return (ROOT / need).exists() if "/" in need else find_spec(need) is not None


def missing(path):
    """Return why the tests in a file cannot run here, None where they can or are none of ours."""
    tests = ROOT / "tests"
    if not path.is_relative_to(tests):
        return None
    name = path.relative_to(tests).as_posix()
    found = [NEEDS[key] for key in (name, name.rpartition("/")[0]) if key in NEEDS]
    lacks = [need for needs, _ in found for need in needs if not there(need)]
    return f"needs {', '.join(dict.fromkeys(lacks))}: run {found[0][1]}" if lacks else None


def pytest_addoption(parser):
    """Add ``--whole``, with which make calls pytest."""
    parser.addoption(
        "--whole",
        action="store_true",
        help="fail, not skip, where something that tests need is missing",
    )


class CellsAfterASlowOne:
    """Let cells pass that nbval expects to fail, as it does all after one that ran out of time."""

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_setup(self, item):
        """Put before nbval's mark, which xfail_strict would make strict, one that is not."""
        if type(item).__name__ == "IPyNbCell" and item.get_closest_marker("xfail"):
            mark = pytest.mark.xfail(reason="a cell before it ran out of time", strict=False)
            item.add_marker(mark, append=False)


def pytest_configure(config):
    """Register what holds for chapters too, which are not in this folder."""
    config.pluginmanager.register(CellsAfterASlowOne())


class Missing(pytest.Module):
    """A file whose tests cannot run here."""

    def collect(self):
        """Say why."""
        reason = missing(self.path) or ""
        if self.config.getoption("--whole"):
            raise self.CollectError(reason)
        pytest.skip(reason, allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    """Skip a file of tests, before it is imported, where something that it needs is missing."""
    return Missing.from_parent(parent, path=module_path) if missing(module_path) else None


def pytest_itemcollected(item):
    """Refuse to leave the check of an equation to the tests that run seldom."""
    if item.get_closest_marker("slow") and item.get_closest_marker("checks"):
        raise pytest.UsageError(f"{item.nodeid} checks an equation: it cannot be marked slow")
