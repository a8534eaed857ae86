"""Shared by all tests."""

# nbval must run whole chapters (tests/notebooks.py), not the stored outputs alone.
collect_ignore = ["outputs"]
