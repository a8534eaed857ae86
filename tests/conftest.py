"""Shared by all tests."""

from hypothesis import settings

# A deadline would judge the machine: how long an example takes is no property of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# nbval must run whole chapters (tests/notebooks.py), not the stored outputs alone.
collect_ignore = ["outputs"]
