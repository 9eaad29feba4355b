"""Names of cells."""

import numpy as np
import pandas as pd
import pytest

from tilegrn.errors import InputError
from tilegrn.io.atac._cells import named, read_barcodes


@pytest.mark.parametrize(
    "text",
    [
        "A\nB\n",
        "A\nB",
        "\nA\n\nB\n\n",
        "A,1\nB,2\n",
        "A\t1,5\nB\t2\n",
        " A \n B\n",
        "n,Barcode\n1,A\n2,B\n",
        "n\t cell_id \n1\tA\n2\tB\n",
        '"","x"\n"1","A"\n"2","B"\n',
        "V1,x\nA,1\nB,2\n",  # x is taken before V1, as R names it: see below
    ],
)
def test_lists(tmp_path, text):
    (tmp_path / "b").write_text(text)
    want = ["1", "2"] if text.startswith("V1,x") else ["A", "B"]
    assert read_barcodes(tmp_path / "b") == want


@pytest.mark.parametrize("text", ["", "\n\n", "barcode\n", "A\n  \nB\n", "n,barcode\n1,A\n2\n"])
def test_lists_that_name_no_cells(tmp_path, text):
    (tmp_path / "b").write_text(text)
    with pytest.raises(InputError, match=r"^'.*b' names no cells, or has lines without a barcode\. Write one"):
        read_barcodes(tmp_path / "b")


def test_a_list_that_is_no_table(tmp_path):
    (tmp_path / "b").write_bytes(b"A\rB\rC\r")  # as old spreadsheets end lines
    with pytest.raises(InputError, match=r"^'.*b' cannot be read as a list of barcodes: .*\. Write one barcode a line"):
        read_barcodes(tmp_path / "b")


def test_patterns():
    cells = pd.Index(["S1#A#1", "S2#B"])
    names, sample = named(cells, "x_{sample}.{barcode}.{cell}", "w")
    assert list(names) == ["x_S1.A#1.S1#A#1", "x_S2.B.S2#B"]
    assert list(sample) == ["S1", "S2"]
    assert list(sample.index) == list(names)
    names, sample = named(pd.Index(["A", "B"]), "{cell}-1", "w")
    assert list(names) == ["A-1", "B-1"]
    assert sample is None
    assert named(pd.Index(["S#A", "B"]), "{cell}", "w")[1] is None
    names, sample = named(pd.Index([], dtype=object), "{cell}", "w")
    assert (len(names), sample) == (0, None)
    assert list(named(pd.Index([1, 2]), "{cell}", "w")[0]) == ["1", "2"]


@pytest.mark.parametrize("pattern", ["", "cell", "{}", "{cell}{x}"])
def test_patterns_of_other_fields(pattern):
    with pytest.raises(InputError, match=r"the fields are \{cell\}, \{sample\} and \{barcode\}\."):
        named(pd.Index(["S#A"]), pattern, "w")


@pytest.mark.parametrize("pattern", ["{barcode}", "{sample}_{cell}"])
def test_names_without_a_sample(pattern):
    with pytest.raises(InputError, match=r"but cells of w are not named sample#barcode, e\.g\. 'B'\."):
        named(pd.Index(["S#A", "B", "C"]), pattern, "w")


def test_names_that_come_out_alike():
    with pytest.raises(InputError) as error:
        named(pd.Index(["S1#A", "S2#A", "S1#B", "S2#B", "S1#C"]), "{barcode}", "w")
    assert str(error.value) == (
        "2 cells of w share their names, e.g. 'A'. Samples share barcodes: keep the sample, e.g. "
        "cell_names='{barcode}-{sample}'."
    )
    for cells in (["S#A", "S#A"], ["A", "A"]):  # of one sample, or of none that is known
        with pytest.raises(InputError, match=r"^1 cells of w share their names, e\.g\. '(S#)?A'\.$"):
            named(pd.Index(np.array(cells, dtype=object)), "{cell}", "w")
