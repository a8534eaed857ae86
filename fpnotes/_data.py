"""Plain data as text and arrays, which a file can hold and any later version can read: no pickle."""

import hashlib
import json
from typing import Any

import numpy as np

__all__ = ["checksum", "decode", "encode", "text_of"]

SEQUENCES = {kind.__name__: kind for kind in (list, tuple, set, frozenset)}


def encode(value: Any, arrays, known=None):
    """Return ``value`` as something for JSON, in which an array is a number: its place in ``arrays``.

    What occurs twice is written once, so that :func:`decode` gives one object for it again; ``known`` holds
    what has been written.

    Raises
    ------
    TypeError
        When it is, or holds, anything but numbers, text, arrays of these, random generators, lists,
        tuples, sets and dicts.
    """
    known = {} if known is None else known
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is np.ndarray and value.dtype.kind not in "OV":
        place = next((i for i, array in enumerate(arrays) if array is value), len(arrays))
        if place == len(arrays):
            arrays.append(value)
        return {"array": place}
    if kind is complex or (np.generic in kind.__mro__ and value.dtype.kind not in "OV"):
        arrays.append(np.asarray(value))
        return {"complex" if kind is complex else "number": len(arrays) - 1}
    if id(value) in known:
        return {"same": known[id(value)][0]}
    number = len(known)
    known[id(value)] = number, value  # the value too: its id is its own while it is alive
    if kind in SEQUENCES.values():
        content = [encode(item, arrays, known) for item in value]
        return {kind.__name__: content, "is": number}
    if kind is dict:
        content = [[encode(k, arrays, known), encode(v, arrays, known)] for k, v in value.items()]
        return {"dict": content, "is": number}
    if kind is np.random.Generator:
        return {"random": encode(value.bit_generator.state, arrays, known), "is": number}
    raise TypeError(f"{kind.__name__} is neither numbers nor text")


def decode(value, arrays, known=None):
    """Return what :func:`encode` was given."""
    known = {} if known is None else known
    if not isinstance(value, dict):
        return value
    kind, content = next(iter(value.items()))
    if kind == "same":
        return known[content]
    if kind == "array":
        return arrays[content]
    if kind in ("number", "complex"):
        return arrays[content].item() if kind == "complex" else arrays[content][()]
    if kind == "dict":
        new = known[value["is"]] = {}
        for k, v in content:
            new[decode(k, arrays, known)] = decode(v, arrays, known)
    elif kind == "list":
        new = known[value["is"]] = []
        new.extend(decode(item, arrays, known) for item in content)
    elif kind == "random":
        state = decode(content, arrays, known)
        new = np.random.Generator(getattr(np.random, state["bit_generator"])())
        new.bit_generator.state = state
    else:
        new = SEQUENCES[kind](decode(item, arrays, known) for item in content)
    known[value["is"]] = new
    return new


def text_of(value):
    """Return text that is the same for the same data, and in every process; raise as :func:`encode`."""
    arrays = []
    written = json.dumps(encode(value, arrays))
    return written + "".join(f"{a.shape}{a.dtype}{checksum(a)}" for a in arrays)


def checksum(value):
    """Return a checksum of text, or of an array's entries."""
    data = value.encode() if isinstance(value, str) else np.ascontiguousarray(value).tobytes()
    return hashlib.blake2b(data, digest_size=8).hexdigest()
