"""The kinds of clustering that featx ships, one in each module."""
