"""Engines: what runs the graphs that model sources hand over."""
