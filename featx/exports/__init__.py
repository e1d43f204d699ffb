"""Exports: stored features as files that other programs read."""
