"""Floating-point errors are met as by default, whatever a program has set by ``np.seterr``."""

from functools import partial

import numpy as np

# A decorator, @as_by_default(), or a context.
as_by_default = partial(np.errstate, divide="warn", over="warn", under="ignore", invalid="warn")
