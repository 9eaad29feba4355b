"""HOMER as a process: where it is, how it runs, how it is stopped."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

from tilegrn.errors import ToolError

__all__ = ["find_homer", "run_tool"]

logger = logging.getLogger(__name__)

_TAIL = 2000
_GRACE = 5.0
_LOOK = 0.2
"""Seconds between two looks at the messages."""


def find_homer(script: str, homer: str | Path | None) -> Path:
    """Find a script of HOMER.

    Parameters
    ----------
    script
        For instance ``annotatePeaks.pl``.
    homer
        HOMER's folder, its ``bin`` folder or a script in it; else the variable ``HOMER`` says so; else ``PATH`` is
        searched.

    Raises
    ------
    ToolError
        If it is nowhere, or is no executable file.
    """
    mend = (
        "Install HOMER (http://homer.ucsd.edu/homer/, or conda install -c bioconda homer) and name its folder with "
        "homer=, the variable HOMER or PATH; or count hits without it: grn.pp.homer_binding."
    )
    if homer is not None:
        places = _places(Path(homer).expanduser(), script)
        found = next((p for p in places if p.is_file()), None)
        if found is None:
            msg = f"HOMER's {script} is not in '{homer}' (looked for {', '.join(map(str, places))}). {mend}"
            raise ToolError(msg)
    else:
        variable = os.environ.get("HOMER", "")
        places = _places(Path(variable).expanduser(), script) if variable else []
        found = next((p for p in places if p.is_file()), None)
        if found is None:
            on_path = shutil.which(script)
            found = Path(on_path) if on_path else None
        if found is None:
            where = f"in HOMER='{variable}' or on PATH" if variable else "on PATH, and the variable HOMER is not set"
            msg = f"HOMER's {script} was not found {where}. {mend}"
            raise ToolError(msg)
    if not os.access(found, os.X_OK):
        msg = f"'{found}' is not executable; chmod +x it."
        raise ToolError(msg)
    return found.absolute()


def _places(root: Path, script: str) -> list[Path]:
    if root.is_file():
        return [root.parent / script]
    return [root / script, root / "bin" / script]


def run_tool(argv: list[str], folder: Path, executable: Path, timeout: float | None) -> str:
    """Run a program in a folder, its output to ``stdout.txt`` and its messages to ``stderr.txt`` there and to the log.

    The program gets its own process group, which is killed on timeout, Ctrl-C or any other error here.

    Returns
    -------
    The end of its messages.

    Raises
    ------
    ToolError
        If it cannot be started, runs longer than ``timeout`` seconds, or ends with an error code or by a signal.
    """
    name = executable.name
    bins = list(dict.fromkeys([str(executable.parent), str(executable.resolve().parent)]))
    # HOMER's scripts call each other through PATH, and sort by the locale.
    environment = {**os.environ, "PATH": os.pathsep.join([*bins, os.environ.get("PATH", "")]), "LC_ALL": "C"}
    messages = folder / "stderr.txt"
    started = time.monotonic()
    with (folder / "stdout.txt").open("wb") as out, messages.open("wb") as err, messages.open("rb") as follow:
        try:
            process = subprocess.Popen(
                argv,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            msg = (
                f"{name} cannot be started: {error.strerror or error}. Is '{executable}' a script with an interpreter?"
            )
            raise ToolError(msg) from error
        try:
            code = _wait(process, follow, name, started, timeout)
        except BaseException:
            _stop(process)
            raise
    said = _tail(messages)
    if code is None:
        msg = f"{name} was stopped after {timeout:g} s (timeout=). It last said: {said or 'nothing'}"
        raise ToolError(msg)
    if code != 0:
        how = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
        msg = f"{name} {how}. It said: {said or 'nothing'}"
        raise ToolError(msg)
    logger.info("%s took %.0f s.", name, time.monotonic() - started)
    return said


def _wait(
    process: subprocess.Popen[bytes], follow: IO[bytes], name: str, started: float, timeout: float | None
) -> int | None:
    """Wait for the end, logging messages as they come; None if time ran out (the group is then dead)."""
    rest = b""
    while True:
        left = None if timeout is None else started + timeout - time.monotonic()
        if left is not None and left <= 0:
            _stop(process)
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK if left is None else min(_LOOK, left))
        *lines, rest = (rest + follow.read()).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", errors="replace").strip()
            if text:
                logger.info("%s: %s", name, text)
        if process.returncode is not None:
            return process.returncode


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Kill the whole process group: first kindly, then for sure, as children may be there when the script has ended."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)


def _tail(messages: Path) -> str:
    with messages.open("rb") as handle:
        handle.seek(max(0, messages.stat().st_size - _TAIL))
        lines = handle.read().decode("utf-8", errors="replace").splitlines()
    return " / ".join(line.strip() for line in lines if line.strip())
