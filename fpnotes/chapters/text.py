"""Numbers that a chapter's text takes from its code."""

from typing import Any

__all__ = ["glue"]


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
