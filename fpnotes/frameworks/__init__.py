"""The same fixed point, and the same rules, inside PyTorch and JAX.

``fpnotes.frameworks.torch`` and ``fpnotes.frameworks.jax`` each have one function, ``fixed_point``, which
takes and returns the framework's own arrays. Neither module is imported by the rest of the package, and
each needs an extra: ``pip install "fpnotes[torch]"`` or ``pip install "fpnotes[jax]"``.
"""
