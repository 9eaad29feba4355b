"""The command line: ``tilegrn demo``, ``run``, ``predict``, ``edges``, ``links``, ``scan`` and ``info``.

Only the standard library is imported until a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
import traceback
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilegrn.cli._config import as_yaml, with_config
from tilegrn.cli._parser import parser
from tilegrn.errors import TileGRNError, WriteError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from types import FrameType

__all__ = ["main"]

OK, FAILED, MISUSED, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
"""Exit codes: done; a bug or the machine's fault; input that cannot be used; Ctrl-C; kill."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Arguments after the program's name; None takes them from the shell.

    Returns
    -------
    The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    commands = parser()
    try:
        with_config(commands, words)
    except TileGRNError as err:
        return _fail(str(err), MISUSED, debug="--debug" in words)
    options = commands.parse_args(words)
    options.argv = words
    options.again = partial(as_yaml, commands, options)
    try:
        with _messages(debug=options.debug, level=_level(options)), _stops() as stops:
            options.command(options)
        if stops.interrupts or getattr(options, "interrupted", False):
            more = " The same command with --force goes on with the training." if _can_go_on(options) else ""
            text = f"training was interrupted: '{options.out}' holds the best so far.{more}"
            return _fail(text, INTERRUPTED, debug=False)
        return OK
    except WriteError as err:  # nobody's misuse
        return _fail(str(err), FAILED, debug=options.debug)
    except TileGRNError as err:
        return _fail(str(err), MISUSED, debug=options.debug)
    except (KeyboardInterrupt, _Terminated) as err:
        return _fail(
            _kept(options), INTERRUPTED if isinstance(err, KeyboardInterrupt) else TERMINATED, debug=options.debug
        )
    except SystemExit as err:  # of training, which finished its step and saved before it left
        if err.code != TERMINATED:
            raise
        return _fail(_kept(options), TERMINATED, debug=options.debug)
    except MemoryError:
        advice = "Out of memory. Keep fewer cells, genes or peaks, or run on a machine with more memory."
        return _fail(advice, FAILED, debug=options.debug)
    except OSError as err:
        return _fail(
            f"{err.strerror or err}: '{err.filename}'" if err.filename else str(err), FAILED, debug=options.debug
        )
    except Exception as err:  # noqa: BLE001 - the last place that can turn a bug into a message
        text = f"{type(err).__name__}: {err}\nThis is a bug in tilegrn; please report it with the output of --debug."
        return _fail(text, FAILED, debug=options.debug)


def _fail(text: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"tilegrn: {'' if code in {INTERRUPTED, TERMINATED} else 'error: '}{text}\n")
    return code


def _kept(options: argparse.Namespace) -> str:
    out = getattr(options, "out", None)
    if out is None:
        return "interrupted."
    state = "is as it was" if Path(out).exists() else "was not made"
    again = f"go on from '{options.checkpoint}'" if _can_go_on(options) else "start again"
    return f"interrupted. The input was not touched and '{out}' {state}; run the same command to {again}."


def _can_go_on(options: argparse.Namespace) -> bool:
    checkpoint = getattr(options, "checkpoint", None)
    return checkpoint is not None and Path(checkpoint).is_dir()


def _level(options: argparse.Namespace) -> int:
    if options.debug or getattr(options, "verbose", False):
        return logging.DEBUG
    return logging.WARNING if getattr(options, "quiet", False) else logging.INFO


@contextmanager
def _messages(*, debug: bool, level: int) -> Iterator[None]:
    """Send progress and warnings to stderr; everything is put back afterwards."""
    start = time.perf_counter()

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            kind = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
            return f"[{time.perf_counter() - start:6.1f} s] {kind}{record.getMessage()}"

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
        place = f" ({filename}:{lineno}, {category.__name__})" if debug else ""
        logging.getLogger("tilegrn").warning("%s%s", message, place)

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter())
    package = logging.getLogger("tilegrn")
    before, propagate = package.level, package.propagate
    package.addHandler(handler)
    package.setLevel(level)
    package.propagate = False
    try:
        with warnings.catch_warnings():
            if not debug:  # what other packages say to developers is no news to a user of the command line
                warnings.simplefilter("ignore")
                warnings.filterwarnings("default", category=UserWarning, module=r"tilegrn(\.|$)")
            warnings.showwarning = show  # type: ignore[assignment]
            yield
    finally:
        package.removeHandler(handler)
        package.setLevel(before)
        package.propagate = propagate


class _Terminated(BaseException):
    """The process was asked to end; no ``except Exception`` on the way may hold it up."""


@dataclass
class _Stops:
    """How often Ctrl-C was pressed. Lightning takes the first during training as the wish to stop training early."""

    interrupts: int = 0

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        self.interrupts += 1
        raise KeyboardInterrupt

    def terminate(self, _signal: int, _frame: FrameType | None) -> None:
        raise _Terminated


@contextmanager
def _stops() -> Iterator[_Stops]:
    """Count Ctrl-C, and let ``kill`` unwind the run, so that no unfinished folder stays behind."""
    stops = _Stops()
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield stops
        return
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, stops.interrupt),
        signal.SIGTERM: signal.signal(signal.SIGTERM, stops.terminate),
    }
    try:
        yield stops
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
