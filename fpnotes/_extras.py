"""What a bare install says where a module needs one of the package's extras."""

from contextlib import contextmanager


@contextmanager
def needs(extra, module):
    """Say, where an import in this context finds nothing, which extra of the package brings it.

    Parameters
    ----------
    extra : str
        Its name in ``pyproject.toml``.
    module : str
        What in this package needs it, for the message.

    Raises
    ------
    ModuleNotFoundError
        With the name of what is not installed, and the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{module} needs {error.name}, which is not installed. "
            f'Run: pip install "fpnotes[{extra}]"',
            name=error.name,
        ) from error
