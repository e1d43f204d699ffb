"""Heads: light classifiers on stored features. Fitting one never runs the network."""
