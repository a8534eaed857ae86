"""Numbers that a chapter's text takes from its code."""

import math
from typing import Any

__all__ = ["at_most", "glue"]


def at_most(value: float, decimals: int) -> float:
    """Round up, so that what a text says is "at most" this number is.

    Parameters
    ----------
    value : float
        The largest there is.
    decimals : int
        How many the text shows.

    Returns
    -------
    float

    Examples
    --------
    >>> at_most(1.23, 1)
    1.3
    >>> at_most(0.07, 2)
    0.07
    """
    scale = 10**decimals
    return math.ceil(round(value * scale, 6)) / scale  # 0.07 * 100 is a little above 7


def glue(name: str, value: Any, display: bool = True) -> None:
    """Hand a value to the text of the page, where ``{glue:text}`` shows it.

    A book that is built has MyST-NB, whose ``glue`` this calls. In a notebook that a reader runs, the numbers
    stand in the text already, and MyST-NB need not be there.

    Parameters
    ----------
    name : str
        By which the text asks for the value.
    value : object
        A number, a string, a figure: whatever Jupyter can display.
    display : bool
        Whether to show the value under the cell, too.

    Examples
    --------
    >>> glue("answer", 42, display=False)
    """
    try:
        from myst_nb import glue as to_the_page
    except ModuleNotFoundError:
        if display:
            from IPython.display import display as show

            show(value)
    else:
        to_the_page(name, value, display=display)
