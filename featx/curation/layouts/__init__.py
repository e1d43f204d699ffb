"""The layouts of maps that featx ships, one in each module."""
