"""A progress bar that can be shown anywhere, or not at all, and never ends a run."""

import sys
import warnings

with warnings.catch_warnings():
    # In a notebook without widgets tqdm warns on import, and then draws its bar as text, which will do.
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm

__all__ = ["advance", "progress_bar"]


def progress_bar(show, **options):
    """Return tqdm's bar; a silent one where it is not wanted, or there is nowhere to show it."""
    try:
        return tqdm(disable=not show or sys.stderr is None, **options)
    except Exception:  # widgets that are missing or broken, a console that is closed
        return tqdm(disable=True, **options)


def advance(bar, **numbers):
    """Move a bar on by one and show numbers beside it; where that fails, show nothing from then on."""
    if bar.disable:  # tqdm would format the numbers nevertheless
        return
    try:
        bar.set_postfix(refresh=False, **numbers)
        bar.update()
    except Exception:
        bar.disable = True
