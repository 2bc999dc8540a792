"""Meritree: hybrid value functions, and search and decisions guided by them.

Importing this package imports no framework; the rooms are imported on use.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
