"""Peaks for HOMER, of whatever holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest
from tests._small import PEAKS, small

from tilegrn.errors import InputError
from tilegrn.io.homer._peaks import write_homer_peaks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.filterwarnings("ignore:pkg_resources:UserWarning", "ignore::FutureWarning:pyranges")
def test_peaks_of_pyranges_are_those_of_their_table(tmp_path):
    import pyranges

    table = pd.DataFrame({"chrom": ["chr2", "chr1"], "start": [5, 10], "end": [9, 30], "name": ["a", "b"]})
    ranges = pyranges.PyRanges(table.set_axis(["Chromosome", "Start", "End", "Name"], axis=1))
    for peaks, name in ((table, "table.bed"), (ranges, "ranges.bed")):
        write_homer_peaks(peaks, tmp_path / name)
    of_table, of_ranges = (set((tmp_path / n).read_text().splitlines()) for n in ("table.bed", "ranges.bed"))
    assert of_table == of_ranges == {"chr2\t5\t9\ta\t0\t+", "chr1\t10\t30\tb\t0\t+"}


def bed_of(peaks: object, tmp_path: Path) -> list[list[str]]:
    write_homer_peaks(peaks, tmp_path / "out.bed")
    return [line.split("\t") for line in (tmp_path / "out.bed").read_text().splitlines()]


def test_peaks_of_a_bed_file_and_of_a_modality(tmp_path):
    (tmp_path / "in.bed").write_text("track name=x\n#c\nchr2\t7\t9\tp1\nchr1\t0\t5\n")
    rows = [["chr2", "7", "9", "chr2:7-9", "0", "+"], ["chr1", "0", "5", "chr1:0-5", "0", "+"]]
    for given in (tmp_path / "in.bed", str(tmp_path / "in.bed"), ["chr2:7-9", "chr1:0-5"]):
        assert bed_of(given, tmp_path) == rows
    mdata = small()
    assert bed_of(mdata["atac"], tmp_path) == bed_of(mdata, tmp_path)
    assert [row[3] for row in bed_of(mdata, tmp_path)] == PEAKS


@pytest.mark.parametrize(
    ("peaks", "message"),
    [
        ("chr1\t1\n", r"in.bed', line 1: 'chr1\t1' is no BED line \(chrom, start, end with tabs\)"),
        ("chr1\t1\t2\nchr1\tx\t2\n", "line 2: 'chr1\tx\t2' is no BED line"),
        ("chr1\t1\tx\n", "is no BED line"),
        (f"chr1\t1\t{'x' * 90}\n", f"line 1: 'chr1\t1\t{'x' * 53}' is no"),
        ({"chrom": ["chr1"], "begin": [1]}, r"lacks the columns \['start', 'end'\]; it has \['chrom', 'begin'\]"),
        (
            {"chrom": ["chr1"] * 2, "start": [1, 5], "end": [3, 9], "name": ["a", "a"]},
            "The column 'name' of the table of peaks holds duplicates",
        ),
    ],
)
def test_peaks_that_cannot_be(tmp_path, peaks, message):
    if isinstance(peaks, str):
        (tmp_path / "in.bed").write_text(peaks)
    given = tmp_path / "in.bed" if isinstance(peaks, str) else pd.DataFrame(peaks)
    with pytest.raises(InputError, match=message):
        write_homer_peaks(given, tmp_path / "out.bed")
    assert not (tmp_path / "out.bed").exists()


def test_writing_is_all_or_nothing(tmp_path):
    with pytest.raises(InputError, match="Cannot write"):
        write_homer_peaks(["chr1:1-2"], tmp_path / "no" / "peaks.bed")
    with pytest.raises(InputError, match="may not survive"):
        write_homer_peaks(["chr1`ls`:1-2"], tmp_path / "peaks.bed")
    with pytest.raises(InputError, match="format is 'gff'"):
        write_homer_peaks(["chr1:1-2"], tmp_path / "peaks.bed", format="gff")
    assert list(tmp_path.iterdir()) == []
