"""Shared by all tests."""

from hypothesis import settings

# A deadline would judge the machine: how long an example takes is no property of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# For tests/mutants.py, which runs a file of tests hundreds of times: quick, and every time the same.
settings.register_profile(
    "mutants", deadline=None, max_examples=10, derandomize=True, database=None
)

# nbval must run whole chapters (tests/notebooks.py), not the stored outputs alone.
collect_ignore = ["outputs"]
