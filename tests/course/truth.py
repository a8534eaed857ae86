"""Whether what a failed comparison says of a result is true, judged anew from the two results."""

import re

import numpy as np


def untrue(message, name, got, want, slips, factors):
    """Return why a message of ``grading.compare`` is not true of these results, or ''.

    ``slips`` and ``factors`` are those that the comparison was given.
    """
    said = re.sub(r" \[seed \d+\]$", "", message).removeprefix(f"{name}: ")
    got, want = np.asarray(got, float), np.asarray(want, float)

    def same(other, tol=1e-5):
        other = np.asarray(other, float)
        return got.shape == other.shape and np.allclose(
            got, other, rtol=tol, atol=tol * np.abs(other).max(initial=0)
        )

    if said in slips:
        return "" if same(slips[said]) else "it is not what that mistake gives"
    if got.shape != want.shape:
        return "" if "shape" in said or "number" in said else "the shapes differ"
    if same(want, 1e-9):
        return "the result is right"
    if wrong := re.fullmatch(r"the result is wrong, by (\S+) of its largest entry", said):
        size = np.abs(got - want).max() / max(np.abs(want).max(), 1e-12)
        return "" if np.isclose(float(wrong[1]), size, rtol=0.06) else f"it is wrong by {size}"
    sign = -1 if "sign is wrong" in said else 1
    if named := re.match(r"the result is off by a factor of (.+?)[:,] too (large|small)", said):
        value = factors[named[1]]
        return "" if same(sign * want * value ** (1 if named[2] == "large" else -1)) else "no"
    if number := re.match(r"the result is off by a factor of (\S+)$", said):
        return "" if same(float(number[1]) * want, 1e-3) else "it is no multiple"
    if "transposed" in said:
        return "" if same(sign * want.T) else "it is not the transpose"
    if said == "the sign is wrong":
        return "" if same(-want) else "it is not the negative"
    if "inverse of the right matrix" in said:
        return "" if np.allclose(got @ want, np.eye(len(want)), atol=1e-5) else "no inverse"
    if "multiple of the identity" in said:
        off = got - want
        return "" if np.allclose(off, off[0, 0] * np.eye(len(off)), atol=1e-5) else "it is not"
    if "NaN" in said or "infinite" in said or "finite" in said:
        return "" if not np.isfinite(got).all() else "all numbers are finite"
    return f"nobody knows what it means: {said}"
