"""Outputs of HOMER, made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

SUFFIX = " Distance From Peak(sequence,strand,conservation)"
FIXED = "Chr\tStart\tEnd\tStrand\tPeak Score\tFocus Ratio/Region Size\tCpG%\tGC%"


def as_dict(table: pd.DataFrame) -> dict[tuple[str, str], int]:
    keys = zip(table["source_id"], table["peak_id"], strict=True)
    return dict(zip(keys, table["tf_motifs_in_peak"].tolist(), strict=True))


def table_text(cells: list[list[str]], motifs: list[str], command: str = "", ids: list[str] | None = None) -> str:
    ids = ids or [f"p{i}" for i in range(len(cells))]
    text = "\t".join([f"PeakID{command}", FIXED, *(m + SUFFIX for m in motifs)]) + "\n"
    for i, row in enumerate(cells):
        text += (
            "\t".join([ids[i], "chr1", str(1000 * i + 1), str(1000 * i + 500), "+", "0", "NA", ".1", ".4", *row]) + "\n"
        )
    return text


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "homer.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


COUNTS = [["1", "0"], ["2", "3"]]
SITES = [["5(ACG,+,0.00)", ""], ["5(ACG,+,0.00),9(ACG,-,0.00)", "1(A,+,0.00),2(A,+,0.00),3(A,-,0.00)"]]
GOOD = table_text(COUNTS, ["A", "B"])
FIND = "p1\t-5\tACGT\tA/Homer\t+\t7.1\np2\t8\tACGT\tA/Homer\t-\t7.1\n"
