"""A progress bar that can be shown anywhere, or not at all, and never ends a run."""

import sys
import warnings

with warnings.catch_warnings():
    # In a notebook without widgets tqdm warns on import, and then draws its bar as text, which will do.
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm

__all__ = ["progress_bar"]


def progress_bar(show, **options):
    """Return tqdm's bar; a silent one where it is not wanted, or there is nowhere to show it."""
    try:
        return tqdm(disable=not show or sys.stderr is None, **options)
    except ImportError:  # the notebook's bar, whose widgets are missing or broken
        return tqdm(disable=True, **options)
