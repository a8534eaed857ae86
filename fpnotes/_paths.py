"""Paths that a user gives: absolute at once, and folders that can be written before work begins."""

import tempfile
from pathlib import Path


def check_path(name, value):
    """Return ``value`` as an absolute path, with ``~`` for the home folder expanded.

    A relative path is taken from the current folder now, so that a change of folder, or a process in another
    one, does not move it.

    Raises
    ------
    TypeError
        If ``value`` is not a string or a path.
    ValueError
        If it names the home folder of a user who has none.
    """
    try:
        return Path(value).expanduser().absolute()
    except TypeError:
        raise TypeError(f"{name} must be a path, not {value!r}") from None
    except RuntimeError as error:
        raise ValueError(
            f"{name} must be a path that can be found, not {value!r}: {error}"
        ) from None


def check_folder(name, value):
    """Return ``value`` as :func:`check_path` does, after making the folder where it does not exist.

    Raises
    ------
    OSError
        If it cannot be made, or no file can be written there. Its type, such as PermissionError, and its
        ``filename`` are those of the failure.
    """
    folder = check_path(name, value)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        message = f"{name} must be a folder that can be written ({error.strerror})"
        raise OSError(error.errno, message, str(folder)) from error
    return folder
