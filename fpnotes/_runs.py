"""Finished runs in a folder: what each is known by, what its file is called, and how it is found again."""

import hashlib
import os
import re
import warnings
from importlib.metadata import PackageNotFoundError, version
from zipfile import ZipFile

from fpnotes._identity import fingerprint, readable
from fpnotes.training import History

_DIGITS = 64  # of a fingerprint, at the end of the line that is kept in a run's file
_SHORT = 16  # of them, at the end of the file's name


def describe(task, jobs, steps, settings, options):
    """Return the line that is kept with each run, which ends with its fingerprint; and the failures.

    A function that raises instead of making a seed's task is a failure of that seed's runs.
    """
    tasks, failures, lines = {}, {}, {}
    rules = {rule: fingerprint("rates", rule) for rule, _ in jobs.values()}
    chosen = {name: fingerprint(name, options[name]) for name in sorted(options)}
    shown = ", ".join(f"{name}={readable(options[name])}" for name in sorted(options))
    for key, (rule, lr) in jobs.items():
        seed = key[2]
        if seed not in tasks:
            try:
                drawn = task(seed) if callable(task) else task
            except Exception as error:
                tasks[seed] = error
            else:
                tasks[seed] = fingerprint("task", drawn)
        if isinstance(tasks[seed], Exception):
            failures[key] = tasks[seed]
            continue
        parts = [tasks[seed], rules[rule], fingerprint("rates", lr), seed, steps, settings, chosen]
        digits = hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()
        words = (address(key), f"{steps} steps", shown, settings, _package(), digits)
        lines[key] = "; ".join(filter(None, words))
    return lines, failures


def address(key):
    """Name a run in words."""
    rule, lr, seed = key
    return f"{rule}, lr={lr}, seed={seed}"


def file_name(key, line):
    """Name a run's file in letters that every file system takes; the fingerprint at its end sets it apart."""
    rule, lr, seed = key
    lr = f"{lr:g}" if not isinstance(lr, str) and float(f"{lr:g}") == lr else lr
    words = [
        re.sub(r"[^A-Za-z0-9.+=(),-]+", "_", part)[:60].strip("._")
        for part in (rule, f"lr{lr}", f"seed{seed}")
    ]
    if re.match(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", words[0], re.IGNORECASE):
        words[0] = f"_{words[0]}"  # Windows reserves these
    return "-".join([*filter(None, words), f"{_ending(line)}.npz"])


def find_files(folder, lines):
    """Return the files of runs in the folder, by whose fingerprint their names end with: ``{key: path}``."""
    endings = {path.stem[-_SHORT:]: path for path in sorted(folder.glob("*.npz"))}
    return {key: endings[_ending(line)] for key, line in lines.items() if _ending(line) in endings}


def load_run(path, line):
    """Return the run in a file, or None after setting the file aside where it does not hold that run whole.

    Raises
    ------
    OSError
        When it cannot be read: it may be whole.
    """
    try:
        with ZipFile(path) as archive:  # closes a file that is not a zip file, as np.load does not
            archive.testzip()
        history, written = History.load(path)
        if written[-_DIGITS:] == line[-_DIGITS:]:
            return history
        problem = "it holds another run"
    except (PermissionError, IsADirectoryError) as error:
        error.add_note("raised when sweep looked for a finished run in its folder")
        raise
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    aside = path.with_name(f"{path.name}.damaged")
    os.replace(path, aside)
    warnings.warn(
        f"folder holds a damaged file, now {aside.name}, and its run is repeated: {problem}",
        RuntimeWarning,
        stacklevel=3,
    )
    return None


def _ending(line):
    return line[-_DIGITS:][:_SHORT]


def _package():
    try:
        return f"fpnotes {version('fpnotes')}"
    except PackageNotFoundError:  # run from its source
        return ""
