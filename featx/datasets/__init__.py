"""Stores as data sets of other libraries: rows read lazily, shuffled by chunks, in batches."""
