"""The errors that tilegrn raises for input it cannot use.

Each says what is wrong, where, and the call that mends it. All derive from a builtin, so that ``except ValueError``
keeps working.
"""

from __future__ import annotations

__all__ = ["InputError", "MissingStepError", "StaleError", "TileGRNError", "ToolError", "WriteError"]


class TileGRNError(Exception):
    """Base of all errors that tilegrn raises on purpose."""


class InputError(TileGRNError, ValueError):
    """A value handed in cannot be used: the message names the value, its place and the mend."""


class MissingStepError(TileGRNError, KeyError):
    """A slot is absent because an earlier step was not run: the message names the call."""

    def __str__(self) -> str:
        """Return the plain message (``KeyError`` would show its repr)."""
        return str(self.args[0]) if self.args else ""


class StaleError(TileGRNError, ValueError):
    """A slot no longer fits the data it was made from: the message names the call to run again."""


class ToolError(TileGRNError, RuntimeError):
    """An outside program is missing, failed, or returned something other than asked."""


class WriteError(TileGRNError, OSError):
    """The system refused to write (disk full, quota, a failing disk): what was there before is as it was."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.errno = number
