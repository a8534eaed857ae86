"""The examples of the reference run, and print what they say."""

import doctest

import pytest

import fpnotes

# The ready-made curves are instances of Activation, and have its docstring.
DOCUMENTED = [name for name in fpnotes.__all__ if hasattr(getattr(fpnotes, name), "__name__")]


def test_all_but_the_curves_are_documented_one_by_one():
    assert set(fpnotes.__all__) - set(DOCUMENTED) == {"linear", "relu", "softplus", "tanh"}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_is_public_has_an_example_that_runs(name, tmp_path, monkeypatch):
    """Each from its own imports alone."""
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_doctest(
        getattr(fpnotes, name).__doc__ or "", {}, name, None, 0
    )
    assert examples.examples
    shown = []
    failed = doctest.DocTestRunner(verbose=False).run(examples, out=shown.append).failed
    assert not failed, "".join(shown)
    assert list(tmp_path.iterdir()) == []
