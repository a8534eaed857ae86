"""What every public function asks of its arguments, and the errors that say so."""

from typing import Any

import numpy as np

from fpnotes._types import FloatArray


def check_real_array(name: str, value: Any) -> FloatArray:
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


def check_square_matrix(name: str, value: Any) -> FloatArray:
    """Return ``value`` as a finite (N, N) float array with N ≥ 1, or raise."""
    array = check_real_array(name, value)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.size == 0:
        raise ValueError(f"{name} must be a square (N, N) matrix, not of shape {array.shape}")
    return array


def check_rows(name: str, value: Any, n: int) -> FloatArray:
    """Return ``value`` as a finite float array of shape (..., N), one row per sample, or raise."""
    array = check_real_array(name, value)
    if array.ndim == 0 or array.shape[-1] != n:
        raise ValueError(
            f"{name} must have shape (..., {n}), one row per sample, to match W of shape "
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


def check_positive(name: str, value: Any) -> float:
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


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Return ``value`` as an integer of at least ``least``, or raise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
    return int(value)
