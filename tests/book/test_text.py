"""Numbers that go from a chapter's code to its text, with MyST-NB and without."""

import sys

import myst_nb
import pytest

from fpnotes.chapters import text


def test_a_book_that_is_built_gets_the_value(monkeypatch):
    seen = []
    monkeypatch.setattr(myst_nb, "glue", lambda *values, **named: seen.append((values, named)))
    text.glue("answer", 42, display=False)
    assert seen == [(("answer", 42), {"display": False})]


@pytest.mark.parametrize("display", [True, False])
def test_a_notebook_without_myst_nb_shows_it_if_asked(monkeypatch, display):
    shown = []
    monkeypatch.setitem(sys.modules, "myst_nb", None)
    monkeypatch.setattr("IPython.display.display", shown.append)
    text.glue("answer", 42, display=display)
    assert shown == ([42] if display else [])
