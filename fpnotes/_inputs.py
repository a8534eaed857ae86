"""What every public function asks of its arguments, and the errors that say so."""

import re
import zlib
from functools import partial

import numpy as np


def real_array(name, value):
    """Return ``value`` as a finite float array: float32 is kept, other real types become float64.

    Raises
    ------
    TypeError
        If ``value`` is not numeric, or is complex.
    ValueError
        If it is ragged, or holds NaN or infinite entries.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be real numbers, not of dtype {array.dtype}")
    if array.dtype != np.float32:
        array = array.astype(np.float64, copy=False)
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        where = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{name} must be finite, but {len(bad)} of its {array.size} entries are NaN or "
            f"infinite, the first at index {where}"
        )
    return array


def square_matrix(name, value):
    """Return ``value`` as a finite (N, N) float array with N ≥ 1, or raise."""
    array = real_array(name, value)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.size == 0:
        raise ValueError(f"{name} must be a square (N, N) matrix, not of shape {array.shape}")
    return array


def rows_of(name, value, n):
    """Return ``value`` as a finite float array of shape (..., N), a row a sample, or raise."""
    array = real_array(name, value)
    if array.ndim == 0 or array.shape[-1] != n:
        raise ValueError(
            f"{name} must have shape (..., {n}), a row a sample, to match W of shape "
            f"({n}, {n}); it has shape {array.shape}"
        )
    return array


def check_broadcast(name, array, other_name, other):
    """Raise unless the two arrays' shapes broadcast together."""
    try:
        np.broadcast_shapes(array.shape, other.shape)
    except ValueError:
        raise ValueError(
            f"{name} of shape {array.shape} does not broadcast with {other_name} of shape {other.shape}"
        ) from None


def positive(name, value):
    """Return ``value`` as a finite positive float, or raise."""
    try:
        array = np.asarray(value)
    except ValueError:  # a ragged list
        array = np.empty(0)
    if array.ndim != 0 or array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a positive number, not {value!r}")
    number = float(array)
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be positive and finite, not {value!r}")
    return number


def count(name, value, least=1):
    """Return ``value`` as an integer of at least ``least``, or raise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
    return int(value)


def stable_name(name, value):
    """Return a line that names ``value`` in the same way in every process.

    A function's is its ``__name__``; a partial function's says what was filled in; an array's has a checksum
    of its entries.

    Raises
    ------
    TypeError
        If nothing about ``value`` is known to be the same in another process.
    """
    given = getattr(value, "__name__", None)
    if isinstance(given, str):
        return given
    if isinstance(value, partial):
        filled = [stable_name(name, argument) for argument in value.args]
        filled += [
            f"{key}={stable_name(name, value.keywords[key])}" for key in sorted(value.keywords)
        ]
        return f"{stable_name(name, value.func)}({', '.join(filled)})"
    if isinstance(value, np.ndarray) and value.ndim and value.dtype != object:
        entries = np.ascontiguousarray(value)
        return f"array{value.shape} {value.dtype} {zlib.crc32(entries.tobytes()):08x}"
    return stable_repr(name, value)


def stable_repr(name, value):
    """Return ``repr(value)``, or raise a TypeError if it holds an address, which no other process knows."""
    written = repr(value)
    if re.search(r" at 0x[0-9a-fA-F]+", written):
        raise TypeError(
            f"{name} must be told apart from others in every process, and {written} says only where it "
            "is in this one's memory: give it a __name__"
        )
    return written
