"""The judge of what a failed comparison says: it lets true sentences pass, and no other."""

import numpy as np
import pytest

from tests.course import direct, truth

WANT = np.array([[1.0, 2.0, 0.5], [3.0, 5.0, 4.0], [0.2, 0.3, 7.0]])
SLIPS = {"the gains are missing": WANT + 1.0}
TRUE = {
    "the gains are missing": WANT + 1.0,
    "the sign is wrong": -WANT,
    "the result has the right size but is transposed": WANT.T,
    "the result is transposed and its sign is wrong": -WANT.T,
    "the result is off by a factor of m: too large": 7 * WANT,
    "the result is off by a factor of m, too small, and its sign is wrong": -WANT / 7,
    "the result is off by a factor of 3": 3 * WANT,
    "the result is off by a multiple of the identity matrix": WANT + 2 * np.eye(3),
    "the result is the inverse of the right matrix": np.linalg.inv(WANT),
    "the result is wrong, by 0.71 of its largest entry": WANT + np.array([5.0, 0, 1]),
}


@pytest.mark.parametrize("said", TRUE)
def test_each_sentence_passes_for_its_own_result_and_for_no_other(said):
    for sentence, got in TRUE.items():
        why = truth.untrue(f"f: {said} [seed 3]", "f", got, WANT, SLIPS, {"m": 7})
        assert bool(why) == (sentence != said), (said, sentence, why)
    assert truth.untrue(f"f: {said}", "f", WANT, WANT, SLIPS, {"m": 7})


@pytest.mark.parametrize("said", TRUE)
def test_these_are_the_sentences_of_a_comparison(said):
    compare = direct.module("grading").compare
    with pytest.raises(AssertionError) as failure:
        compare("f", TRUE[said], WANT, slips=SLIPS, factors={"m": 7})
    assert str(failure.value).startswith(f"f: {said}")
