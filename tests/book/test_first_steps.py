"""The first steps of the stored runs: that a change in them is noticed."""

import numpy as np
import pytest

from fpnotes.chapters import best, cortex, first_steps, opening, reproduce, rivals

KEYS = list(first_steps.runs())


def test_every_kind_of_stored_run_is_repeated():
    """Each protocol on digits, each rule that is tuned there, each method elsewhere."""
    tables = {table for table, _ in KEYS}
    assert {f"mnist-{protocol}" for protocol in reproduce.PROTOCOLS} < tables
    assert len(KEYS) == len(set(KEYS))
    for table, rules in (
        ("best", best.RATES),
        ("cortex", cortex.RATES),
        ("rivals", rivals.methods(False)),
        ("opening", opening.RATES),
    ):
        assert sum(own == table for own, _ in KEYS) == len(rules)


def test_the_table_has_all_steps_of_every_run():
    kept = first_steps.stored()
    assert list(kept) == KEYS
    for losses in kept.values():
        assert losses.shape == (first_steps.STEPS + 1,) and np.isfinite(losses).all()
        assert len(set(losses)) == len(losses)  # it moves


@pytest.fixture
def quick(monkeypatch):
    """Two cheap runs, the second a little off after its first step."""
    some = {("a", "x"): np.array([2.0, 1.0]), ("b", "y"): np.array([3.0, 2.0])}
    monkeypatch.setattr(first_steps, "stored", lambda: some)
    now = {key: losses.copy() for key, losses in some.items()}
    monkeypatch.setattr(
        first_steps,
        "runs",
        lambda: {key: lambda losses=losses: losses for key, losses in now.items()},
    )
    return now


def test_what_is_as_it_was_passes(quick, capsys):
    quick["b", "y"][1] *= 1 + 1e-7
    first_steps.main([])
    assert "b              y" in capsys.readouterr().out


@pytest.mark.parametrize("change", [1 + 3e-6, 1 - 3e-6, np.nan])
def test_what_is_not_is_seen(quick, change):
    quick["b", "y"][1] *= change
    with pytest.raises(SystemExit, match="no longer begin as the tables' did, to 1e-06"):
        first_steps.main([])


def test_a_run_without_a_row_and_one_that_ended_early_are_seen(quick):
    quick["c", "z"] = np.array([1.0, 0.5])
    quick["a", "x"] = np.array([2.0])
    assert first_steps.differences() == {("a", "x"): np.inf, ("b", "y"): 0, ("c", "z"): np.inf}


def test_a_cheap_run_is_repeated_here():
    key = ("linear-memory", "gradient")
    np.testing.assert_allclose(first_steps.runs()[key](), first_steps.stored()[key], rtol=1e-6)
    key = ("opening", "gradient")
    np.testing.assert_allclose(first_steps.runs()[key](), first_steps.stored()[key], rtol=1e-6)
