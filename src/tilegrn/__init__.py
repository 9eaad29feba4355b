"""Gene-regulatory networks from single-cell multiome data."""

from __future__ import annotations

from importlib.metadata import version

from tilegrn import errors

__all__ = ["__version__", "errors"]

__version__ = version("tilegrn")
