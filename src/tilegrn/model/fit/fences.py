"""What stands around Lightning's Trainer: its banners kept away, signals heard and given back."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["Stops", "quiet", "stops"]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's banners and the warnings that do not concern a user of this package."""
    sources = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [source.level for source in sources]
    for source in sources:
        source.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
        warnings.filterwarnings("ignore", message=".*Trying to infer the `batch_size`.*")
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*optimizer.step.*")
        warnings.filterwarnings("ignore", message=".*no `val_dataloader`.*")
        warnings.filterwarnings("ignore", message=".*is smaller than the logging interval.*")  # the rest of an epoch
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="(lightning|torch).*")
        warnings.filterwarnings("ignore", category=FutureWarning, module="(lightning|torch).*")
        try:
            yield
        finally:
            for source, level in zip(sources, levels, strict=True):
                source.setLevel(level)


@dataclass
class Stops:
    """Wishes to stop: the first SIGINT or SIGTERM lets the step be finished, the second ends it at once.

    Attributes
    ----------
    asked
        Number of the first signal, 0 for none.
    at_once
        Number of the second.
    place
        Where training stopped, in words.
    """

    asked: int = 0
    at_once: int = 0
    place: str = ""

    def listen(self) -> None:
        """Hear the signals from now on, if this is the main thread: others get none."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._hear)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if not self.asked:
            self.asked = number
            return
        self.at_once = number
        self.leave()

    def leave(self) -> None:
        """Raise what the last signal asks for."""
        if (self.at_once or self.asked) == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt


@contextmanager
def stops() -> Iterator[Stops]:
    """Give what hears signals once it is asked to, and give them back afterwards: Lightning keeps Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield Stops()
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield Stops()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
