"""The version of featx, for what records or prints it without importing the package's names."""

__version__ = "0.2.0.dev0"
