"""Fixed instances for practice, taken from the hidden tests of a set and sealed.

A hidden test draws instances, calls the answer and compares, naming likely mistakes. Run with the recorder
below in place of ``grading``, it compares nothing: it notes each instance, what is right there, and what each
mistake gives.
``build.py`` seals these results (see ``grading.sealed``) and hands them out as ``practice.json``, so that a
student's own mistake is named while it can still be mended, and no answer is given away.
"""

import sys
from types import SimpleNamespace

import grading
import numpy as np

SEED = 1


class _Stop(Exception):
    """A test that asks more of an answer than to compare it: what was noted so far is all there is."""


class _Result:
    """What a call would return, or one of the several things that it returns."""

    def __init__(self, call, names="", part=0):
        self.call, self.names, self.part = call, names, part

    def _stop(self, *args):
        raise _Stop

    __array__ = __getitem__ = __iter__ = __len__ = __float__ = __bool__ = __sub__ = __lt__ = (
        __gt__
    ) = _stop


def record(test):
    """Return the instances of a hidden test, as ``grading.practice`` reads them."""
    noted = []

    def call(env, name, *args, allow=(), forbid=(), largest=None, **options):
        rules = {"allow": allow, "forbid": forbid, "largest": largest}
        return _Result({"name": name, "args": args, "options": options, "rules": rules})

    def parts(name, got, names):
        return [_Result(got.call, names, part) for part in range(names.count(",") + 1)]

    def note(label, results, want, slips, shape, inverse=False):
        if not all(isinstance(result, _Result) for result in results):
            raise _Stop
        try:
            calls = [
                {
                    "args": [grading.packed(arg) for arg in result.call["args"]],
                    "options": {
                        key: grading.packed(arg) for key, arg in result.call["options"].items()
                    },
                    "names": result.names,
                    "part": result.part,
                    **result.call["rules"],
                }
                for result in results
            ]
        except TypeError:
            return
        seals = [
            grading.sealed(slip, sentence)
            for sentence, slip in slips.items()
            if np.isfinite(slip).all() and grading.unsealed(slip, grading.sealed(want, "")) is None
        ]
        noted.append(
            {"label": label, "calls": calls, "shape": shape, "inverse": inverse}
            | {"want": grading.sealed(want, ""), "slips": seals}
        )

    def compare(label, got, want, *, slips=None, factors=None, rtol=1e-6, inverse=False):
        want = np.asarray(want, float)
        slips = (slips or {}) | grading.likely(want, factors or {})
        slips = {sentence: np.asarray(slip, float) for sentence, slip in slips.items()}
        note(label, [got], want, slips, want.shape, inverse)

    def verdicts(label, got, want, slips=None):
        note(
            label,
            got,
            np.array(want, float),
            {s: np.array(v, float) for s, v in (slips or {}).items()},
            None,
        )

    def fail(message):
        raise _Stop

    def fresh(times):
        return (np.random.default_rng((SEED, instance)) for instance in range(times))

    recorder = SimpleNamespace(
        CURVES=grading.CURVES,
        with_eigenvalues=grading.with_eigenvalues,
        fresh=fresh,
        sizes=lambda *shapes: zip(fresh(len(shapes)), shapes, strict=True),
        call=call,
        parts=parts,
        numbers=lambda name, got, shape, infinite=False: got,
        flags=lambda name, got, count: got,
        compare=compare,
        verdicts=verdicts,
        fail=fail,
    )
    sys.modules["grading"] = recorder  # ty: what a test imports
    try:
        test({})
    except _Stop:
        pass
    finally:
        sys.modules["grading"] = grading
    return noted
