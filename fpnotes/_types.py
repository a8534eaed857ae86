"""Types of public signatures. Shapes are in the docstrings: the type system has no words for them.

What is an array for a batch is a NumPy scalar for a single sample, which counts here as an array of shape ().
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Array",
    "ArrayLike",
    "BoolArray",
    "FloatArray",
    "IntArray",
    "Method",
    "OnFailure",
    "Real",
]

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.integer[Any]]
Array = NDArray[Any]
Real = float | np.floating[Any]

Method = Literal["auto", "relaxation", "anderson", "newton"]
OnFailure = Literal["raise", "warn", "ignore"]
