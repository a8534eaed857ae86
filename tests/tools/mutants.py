"""Mutation tests: how many small mistakes in a module would its tests notice?

Cosmic Ray makes one mistake at a time (another operator, another number, a condition negated) in a copy of
the project, and runs the module's tests on it. A mutant that no test notices has *survived*: either it
computes the same, or a test is missing. tests/tools/mutation.md says which.

    make mutants MODULES="rules geometry" SAMPLE=100

Results are kept in _build/mutants until the module changes. A second run tries the survivors again.
"""

import argparse
import ast
import contextlib
import os
import random
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

# In an environment of its own, which the tests do not need.
from cosmic_ray.mutating import mutate_code  # pyright: ignore[reportMissingImports]
from cosmic_ray.plugins import get_operator  # pyright: ignore[reportMissingImports]
from cosmic_ray.work_db import WorkDB, use_db  # pyright: ignore[reportMissingImports]
from cosmic_ray.work_item import (  # pyright: ignore[reportMissingImports]
    TestOutcome,
    WorkerOutcome,
    WorkResult,
)

ROOT = Path(__file__).parents[2]
TESTS = {
    "solvers": ["test_solvers.py"],
    "implicit": ["test_implicit.py"],
    "rules": ["test_rules.py"],
    "optimizers": ["test_optimizers.py"],
    "geometry": ["test_geometry.py"],
    "training": ["test_training.py"],
    "sweeps": ["test_sweeps.py"],
    "_batch": ["test_solvers.py"],
    "_certificate": ["test_certificate.py"],
    "_iterations": ["test_iterations.py", "test_solvers.py"],
    "_linear": ["test_linear.py", "test_iterations.py", "test_solvers.py", "test_implicit.py"],
}
# Too slow to run once a mutant; all else in those files must do.
SLOW = ["test_300_neurons", "among_300", "float32_of_a_hard_network"]
# Of the tests of solve, those of what it leaves to other modules.
ELSEWHERE = {
    "solvers": ["RunningAway", "HardNetworks", "Scales", "Methods", "whatever_a_curve_returns"]
}
# Mistakes that nobody makes, and that fail at once on an array of floats: they would flatter the tests.
UNLIKELY = re.compile(
    r"core/ReplaceBinaryOperator_(?!Bit)\w+_(RShift|LShift|Bit\w+|FloorDiv|Mod)$|"
    r"core/ReplaceBinaryOperator_Bit\w+_(?!Bit)\w+$|"
    r"core/ReplaceComparisonOperator_(?!Is)\w+_(Is|IsNot)$|"
    r"core/ReplaceUnaryOperator_\w+_(Invert|Not|UAdd)$|"
    r"core/ExceptionReplacer$"  # it cannot replace a name with a dot, np.linalg.LinAlgError
)


def meaning(source):
    """Return what a module says, without annotations and doc strings; None if it is not Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, ast.Constant(None))
    return ast.dump(tree)


def skip(db, source, sample):
    """Leave out mutants that say the same, or nothing, and all but a random sample of the others."""
    original, wanted, out = meaning(source), [], []
    for item in db.pending_work_items:
        (mutation,) = item.mutations
        operator = get_operator(mutation.operator_name)()
        mutant = None
        if not UNLIKELY.match(mutation.operator_name):
            mutant = meaning(mutate_code(source, operator, mutation.occurrence))
        (out if mutant in (None, original) else wanted).append(item)
    wanted.sort(key=lambda item: (item.mutations[0].start_pos, item.mutations[0].operator_name))
    random.Random(2023).shuffle(wanted)
    for item in out + wanted[len(wanted) if sample is None else sample :]:
        db.set_result(item.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))


def try_again(session):
    """Forget the results of survivors."""
    with use_db(session, WorkDB.Mode.open) as db:
        alive = [job for job, result in db.results if result.test_outcome == TestOutcome.SURVIVED]
    with contextlib.closing(sqlite3.connect(session)) as connection, connection:
        connection.executemany("DELETE FROM work_results WHERE job_id = ?", [(j,) for j in alive])


def run(module, sample):
    """Test the mutants of one module; return how many there are, and the survivors."""
    home = ROOT / "_build" / "mutants" / module
    code = home / "fpnotes" / f"{module}.py"
    session, config = home / "session.sqlite", home / "config.toml"
    source = (ROOT / "fpnotes" / f"{module}.py").read_text()
    made_of = home / "made-of.py"
    new = not made_of.exists() or made_of.read_text() != source
    if new:
        shutil.rmtree(home, ignore_errors=True)
    compiled_elsewhere = shutil.ignore_patterns("__pycache__")  # it names the files it came from
    for folder in ("fpnotes", "tests", "book/extensions", "book/editions"):
        shutil.copytree(ROOT / folder, home / folder, ignore=compiled_elsewhere, dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", home)

    tests = [f"tests/package/{name}" for name in TESTS[module]]
    # Few plugins, and hypothesis with few examples, always the same.
    pytest = [str(ROOT / ".venv/bin/python"), "-m", "pytest", "-x", "-q", "--no-header"]
    pytest += ["-p", "no:cacheprovider", "-p", "_hypothesis_pytestplugin", "-p", "pytest_timeout"]
    without = " and ".join(f"not {name}" for name in SLOW + ELSEWHERE.get(module, []))
    pytest += ["--hypothesis-profile", "mutants", "-k", without]
    config.write_text(
        "[cosmic-ray]\n"
        f'module-path = "fpnotes/{module}.py"\n'
        "timeout = 180.0\nexcluded-modules = []\n"
        f"test-command = {shlex.join([*pytest, *tests])!r}\n"
        '[cosmic-ray.distributor]\nname = "local"\n'
    )
    environment = {**os.environ, "PYTHONPATH": str(home), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run([*pytest, *tests], cwd=home, env=environment, check=True)  # they pass as it is
    # Two versions of a file within one second look alike to Python's cache of compiled code.
    for compiled in code.parent.glob(f"__pycache__/{module}.*"):
        compiled.unlink()
    environment["PYTHONDONTWRITEBYTECODE"] = "1"

    cosmic_ray = [Path(sys.executable).with_name("cosmic-ray")]
    if new:
        subprocess.run([*cosmic_ray, "init", config, session], cwd=home, check=True)
        with use_db(session, WorkDB.Mode.open) as db:
            skip(db, source, sample)
        made_of.write_text(source)
    else:
        try_again(session)
    subprocess.run([*cosmic_ray, "exec", config, session], cwd=home, env=environment, check=True)

    with use_db(session, WorkDB.Mode.open) as db:
        tried = [
            (item.mutations[0], result)
            for item, result in db.completed_work_items
            if result.worker_outcome != WorkerOutcome.SKIPPED
        ]
    survivors = [
        (mutation.start_pos[0], mutation.operator_name.removeprefix("core/"), result.diff)
        for mutation, result in tried
        if result.test_outcome != TestOutcome.KILLED
    ]
    return len(tried), sorted(survivors)


def main():
    """Report on the modules asked for."""
    parser = argparse.ArgumentParser(description="Test the tests by mistakes.")
    parser.add_argument("modules", nargs="*", default=list(TESTS), choices=TESTS, metavar="module")
    parser.add_argument("--sample", type=int, help="of each module's mutants; by default all")
    options = parser.parse_args()
    for module in options.modules:
        tried, survivors = run(module, options.sample)
        print(f"{module}: {tried - len(survivors)} of {tried} mutants killed")
        for line, operator, diff in survivors:
            changed = [row for row in diff.splitlines()[3:] if row[:1] in "+-"]
            print(f"  line {line}, {operator}", *changed, sep="\n    ", flush=True)


if __name__ == "__main__":
    main()
