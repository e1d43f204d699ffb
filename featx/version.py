"""The version of featx, and of installed packages, for what records or prints them."""

from functools import cache

__version__ = "0.2.0.dev0"


@cache
def version_of(package: str) -> str:
    """Return the version of an installed package, which is looked up once.

    Args:
        package: Its name on PyPI.

    Raises:
        importlib.metadata.PackageNotFoundError: If it is not installed.

    Example:
        >>> version_of("numpy").count(".")
        2
    """
    import importlib.metadata  # Takes longer than `featx --help` may.

    return importlib.metadata.version(package)
