"""What HOMER is asked, and whether its output is the answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tilegrn.errors import ToolError
from tilegrn.io.homer._run import _arguments, _checked

if TYPE_CHECKING:
    from pathlib import Path


def test_what_homer_is_asked():
    given = ("/bin/x.pl", "genome.fa")
    assert " ".join(_arguments(*given, "annotatePeaks", "given", mask=False, n_jobs=1)) == (
        "/bin/x.pl peaks.bed genome.fa -m known.motif -nmotifs -noann -nogene -cpu 1 -size given"
    )
    assert " ".join(_arguments(*given, "find", 200, mask=True, n_jobs=3)) == (
        "/bin/x.pl peaks.bed genome.fa found -find known.motif -size 200 -p 3 -preparsedDir preparsed -mask"
    )


def output(tmp_path: Path, text: str, messages: str = "") -> Path:
    (tmp_path / "stdout.txt").write_text(text)
    (tmp_path / "stderr.txt").write_text(messages)
    return tmp_path / "stdout.txt"


def test_a_step_that_failed_is_told_by_its_messages(tmp_path):
    for line in (
        "sh: homer2: not found",
        "Out of memory!",
        "Segmentation fault (core dumped)",
        "Can't locate POSIX.pm in @INC",
        "write: no space left on device",
        "x" * 100 + " Killed " + "y" * 100,
    ):
        file = output(tmp_path, "p0\t1\tA\tm0\t+\t1.0\n", f"fine\n  {line}  \nKilled later\n")
        shown = re.escape(line[:120])
        with pytest.raises(ToolError, match=rf"A step of x.pl failed \('{shown}'\), .* HOMER said nothing\.$"):
            _checked(file, "x.pl", "", ["p0"], 1)
    for line in ("ls: found/*.nothing: No such file or directory", "Skilled people"):
        file = output(tmp_path, "p0\t1\tA\tm0\t+\t1.0\n", line)
        assert _checked(file, "findMotifsGenome.pl", "", ["p0"], 1).toarray().tolist() == [[1]]


@pytest.mark.parametrize("script", ["annotatePeaks.pl", "findMotifsGenome.pl"])
def test_counts_are_in_the_order_that_was_asked(tmp_path, script):
    """In a list, peaks and motifs may be absent; in a table they may not."""
    file = output(tmp_path, "".join(f"{p}\t1\tA\t{m}\t+\t1.0\n" for p, m in (("p2", "m1"), ("p0", "m1"), ("p2", "m0"))))
    if script == "findMotifsGenome.pl":
        counts = _checked(file, script, "", ["p0", "p1", "p2"], 3)
        assert counts.toarray().tolist() == [[0, 1, 0], [0, 0, 0], [1, 1, 0]]
        assert (counts.dtype, counts.has_sorted_indices) == (np.int32, True)
        with pytest.raises(ToolError, match=r"returned other motifs: 2 for 1 asked\. HOMER said: x"):
            _checked(file, script, "x", ["p0", "p1", "p2"], 1)
        with pytest.raises(ToolError, match=r"2 of which 1 are not ours \(\['p2'\]\), for 2 asked"):
            _checked(file, script, "", ["p0", "p1"], 3)
        file = output(tmp_path, "".join(f"x{i}\t1\tA\tm0\t+\t1.0\n" for i in range(4)))
        with pytest.raises(ToolError, match=r"4 of which 4 are not ours \(\['x0', 'x1', 'x2'\]\), for 1 asked"):
            _checked(file, script, "", ["p0"], 1)
    else:
        with pytest.raises(ToolError, match=r"2 of which 0 are not ours \(\[\]\), for 3 asked"):
            _checked(file, script, "", ["p0", "p1", "p2"], 2)
