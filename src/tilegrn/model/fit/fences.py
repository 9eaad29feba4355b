"""What stands around Lightning's Trainer: its banners kept away, Ctrl-C given back."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["quiet", "restored_signals"]


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
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="(lightning|torch).*")
        warnings.filterwarnings("ignore", category=FutureWarning, module="(lightning|torch).*")
        try:
            yield
        finally:
            for source, level in zip(sources, levels, strict=True):
                source.setLevel(level)


@contextmanager
def restored_signals() -> Iterator[None]:
    """Give Ctrl-C back: Lightning ignores it after it has caught one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
