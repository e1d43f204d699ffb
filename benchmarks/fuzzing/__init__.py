"""Damaged files against featx: mutations, originals, supervised processes. See `fuzz.py`."""
