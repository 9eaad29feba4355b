"""How a tool is started, listened to and stopped, by shell scripts of a line."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tilegrn.errors import ToolError
from tilegrn.io.homer import _process
from tilegrn.io.homer._process import _stop, find_homer, run_tool


@pytest.fixture
def tool(tmp_path):
    """Return a function that runs a script; ``work`` is its folder, ``bin/tool.sh`` its place."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "work").mkdir()
    path = tmp_path / "bin" / "tool.sh"

    def run(text: str, *arguments: str, timeout: float | None = 30.0) -> str:
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return run_tool([str(path), *arguments], tmp_path / "work", path, timeout)

    return run


def test_what_a_tool_is_given(tool, tmp_path, monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    monkeypatch.setenv("OTHER", "kept")
    (tmp_path / "typed").write_text("typed\n")
    keyboard, typed = os.dup(0), os.open(tmp_path / "typed", os.O_RDONLY)
    os.dup2(typed, 0)
    try:
        said = tool('echo "$LC_ALL|$OTHER|$PWD|$1|$(cat)|$PATH" >&2; echo out', "a b")
    finally:
        os.dup2(keyboard, 0)
        os.close(keyboard)
        os.close(typed)
    assert said == f"C|kept|{tmp_path / 'work'}|a b||{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    assert (tmp_path / "work" / "stdout.txt").read_text() == "out\n"
    assert (tmp_path / "work" / "stderr.txt").read_text() == said + "\n"


def test_a_linked_tool_finds_those_beside_the_link_and_the_file(tool, tmp_path, monkeypatch):
    tool("")
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "tool.sh"
    link.symlink_to(tmp_path / "bin" / "tool.sh")
    (tmp_path / "bin" / "tool.sh").write_text('#!/bin/sh\necho "$PATH" >&2\n')
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    said = run_tool([str(link)], tmp_path / "work", link, None)
    assert said.split(":") == [str(tmp_path / "links"), str(tmp_path / "bin"), "/usr/bin", "/bin"]
    monkeypatch.delenv("PATH")
    said = run_tool([str(link)], tmp_path / "work", link, None)
    assert said.split(":") == [str(tmp_path / "links"), str(tmp_path / "bin"), ""]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("printf '  one \\n\\n\\ttwo\\nthree' >&2", "one / two / three"),
        ("printf 'w\\377\\n' >&2", "w\N{REPLACEMENT CHARACTER}"),
        ("printf '%01999dx' 0 >&2", "0" * 1999 + "x"),
        ("printf 'lost%01999dx' 0 >&2", "0" * 1999 + "x"),
        ("", ""),
    ],
)
def test_the_end_of_its_messages(tool, text, said):
    assert tool(text) == said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exit 1", "tool.sh failed with exit code 1. It said: nothing"),
        ("echo why >&2; exit 7", "tool.sh failed with exit code 7. It said: why"),
        ("kill -TERM $$", "tool.sh was ended by signal 15. It said: nothing"),
    ],
)
def test_a_tool_that_fails(tool, text, message):
    with pytest.raises(ToolError, match=f"^{re.escape(message)}$"):
        tool(text)


def test_messages_are_logged_line_by_line_as_they_come(tool, caplog):
    with caplog.at_level(logging.INFO, logger="tilegrn"):
        tool("printf 'first ha' >&2; sleep 0.3; printf 'lf\\n\\n  then \\351\\n' >&2")
    *said, took = [r.getMessage() for r in caplog.records]
    assert said == ["tool.sh: first half", "tool.sh: then \N{REPLACEMENT CHARACTER}"]
    assert re.fullmatch(r"tool.sh took \d s\.", took)


def test_time_runs_out(tool):
    with pytest.raises(ToolError, match=r"^tool.sh was stopped after 0.25 s \(timeout=\). It last said: nothing$"):
        tool("sleep 600", timeout=0.25)


def alive(path: Path) -> bool:
    """Whether a process is there in half a second; the path holds its id."""
    deadline = time.monotonic() + 0.5
    while (there := _there(path)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return there


def _there(path: Path) -> bool:
    try:
        return path.read_text() != "" and "Z" not in _state(int(path.read_text()))
    except OSError:
        return False


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


@pytest.fixture
def ready(tmp_path):
    """Return a function that starts a script in a group of its own and waits until it has written ``ready``."""

    def start(text: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["/bin/sh", "-c", text], cwd=tmp_path, start_new_session=True)
        deadline = time.monotonic() + 30
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return process

    return start


def test_a_tool_is_asked_first(ready, tmp_path):
    process = ready("trap 'echo asked > said; exit 0' TERM; echo x > ready; while :; do sleep 0.02; done")
    _stop(process)
    assert process.returncode == 0
    assert (tmp_path / "said").read_text() == "asked\n"


def test_a_tool_that_is_deaf_is_killed_with_its_children(ready, tmp_path, monkeypatch):
    monkeypatch.setattr(_process, "_GRACE", 0.2)
    process = ready("trap '' TERM; sleep 600 & echo $! > child; echo x > ready; while :; do sleep 0.02; done")
    _stop(process)
    assert process.returncode == -signal.SIGKILL
    assert not alive(tmp_path / "child")


def test_children_of_a_tool_that_ends_when_asked_are_killed(ready, tmp_path):
    """The child is deaf, the tool is not."""
    process = ready("(trap '' TERM; echo x > ready; exec sleep 600) & echo $! > child; wait")
    _stop(process)
    assert process.returncode == -signal.SIGTERM
    assert not alive(tmp_path / "child")


def test_an_error_while_waiting_stops_it(tool, tmp_path, monkeypatch):
    class Odd(Exception):
        pass

    def fail(*_: object) -> None:
        deadline = time.monotonic() + 5
        while not (tmp_path / "work" / "tool").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        raise Odd

    monkeypatch.setattr(_process, "_wait", fail)
    with pytest.raises(Odd):
        tool("echo $$ > tool; exec sleep 600")
    assert not alive(tmp_path / "work" / "tool")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes as on Linux")
def test_a_signal_to_this_group_does_not_reach_the_tool(tool, tmp_path):
    group, pid = map(int, tool("echo $(cut -d ' ' -f 5 /proc/$$/stat) $$ >&2").split())
    assert group == pid != os.getpgrp()


def test_what_cannot_be_started(tmp_path):
    path = tmp_path / "tool.sh"
    path.write_text("#!/no/such/shell\n")
    path.chmod(0o755)
    message = f"tool.sh cannot be started: No such file or directory. Is '{path}' a script with an interpreter?"
    with pytest.raises(ToolError, match=f"^{re.escape(message)}$"):
        run_tool([str(path)], tmp_path, path, None)


def test_where_homer_is_looked_for(tmp_path, monkeypatch):
    for folder in ("a", "b/bin"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x.pl").write_text("#!/bin/sh\n")
        (tmp_path / folder / "x.pl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "a"))
    monkeypatch.setenv("HOMER", str(tmp_path / "b"))
    assert find_homer("x.pl", None) == tmp_path / "b" / "bin" / "x.pl"  # the variable before PATH
    assert find_homer("x.pl", tmp_path / "a") == tmp_path / "a" / "x.pl"  # the argument before the variable
    monkeypatch.setenv("HOMER", str(tmp_path / "nowhere"))
    assert find_homer("x.pl", None) == tmp_path / "a" / "x.pl"
    monkeypatch.chdir(tmp_path)
    assert find_homer("x.pl", "a") == tmp_path / "a" / "x.pl"
    monkeypatch.setenv("PATH", "/usr/bin")
    nowhere = tmp_path / "nowhere"
    mend = r"Install HOMER .* or count hits without it: grn.pp.homer_binding\."
    with pytest.raises(ToolError, match=rf"x.pl was not found in HOMER='{nowhere}' or on PATH\. {mend}"):
        find_homer("x.pl", None)
    monkeypatch.delenv("HOMER")
    with pytest.raises(ToolError, match=rf"x.pl was not found on PATH, and the variable HOMER is not set\. {mend}"):
        find_homer("x.pl", None)
    places = f"{nowhere}/x.pl, {nowhere}/bin/x.pl"
    with pytest.raises(ToolError, match=rf"x.pl is not in '{nowhere}' \(looked for {places}\)\. {mend}"):
        find_homer("x.pl", nowhere)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_homer("x.pl", "~/b") == tmp_path / "b" / "bin" / "x.pl"
    monkeypatch.setenv("HOMER", "~/b")
    assert find_homer("x.pl", None) == tmp_path / "b" / "bin" / "x.pl"
