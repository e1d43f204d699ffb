"""The kinds of findings that featx ships, one in each module."""
