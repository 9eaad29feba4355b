"""Binding: counts, scores and window means by hand; names that do and do not resolve; tables that do not fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import tilegrn as grn
from tests._small import BINDING, PEAKS, SIZES, small


@pytest.fixture
def binned():
    mdata = small()
    grn.pp.bin_peaks(mdata, SIZES)
    return mdata


def test_slots_by_hand(binned):
    grn.pp.add_binding(binned, BINDING)
    atac, rna = binned["atac"], binned["rna"]
    assert list(binned.uns["tilegrn"]["binding"]["tfs"]) == ["Ta", "Tb"]
    np.testing.assert_array_equal(
        atac.varm["homer_binding"].toarray(), [[1, 0], [2, 0], [1, 3], [0, 0], [0, 0], [0, 1]]
    )
    score = atac.varm["homer_binding_score"].toarray()
    np.testing.assert_allclose(score[:, 0], [0.25, 0.5, 0.25, 0, 0, 0])
    np.testing.assert_allclose(score[:, 1], [0, 0, 0.75, 0, 0, 0.25])
    windows = rna.varm["homer_binding"].toarray()
    np.testing.assert_allclose(windows[0, [0, 1]], [0.25, 0.375])  # window 1 holds two peaks
    np.testing.assert_allclose(windows[1, [1, 13]], [0.375, 0.25])
    assert not windows[2:].any()
    assert rna.var["is_tf"].tolist() == [True, True, False, False, False]
    for mat in (atac.varm["homer_binding"], rna.varm["homer_binding"]):
        assert mat.format == "csr"
        assert mat.dtype == np.float32


def test_scores_of_the_table_are_kept(binned):
    grn.pp.add_binding(binned, BINDING.assign(homer_binding_score=[0.1, 0.2, 0.3, 0.4, 0.5]))
    got = grn.get.binding(binned)
    assert sorted(got["homer_binding_score"]) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_unresolved_names_are_reported_and_mended_by_aliases(binned):
    table = pd.concat([BINDING, BINDING[:1].assign(source_id="Blurb(X)/cell/Homer")])
    with pytest.warns(UserWarning, match=r"1 motif or TF names resolve to no gene symbol.*Blurb"):
        grn.pp.add_binding(binned, table)
    assert list(binned.uns["tilegrn"]["binding"]["unresolved"]) == ["Blurb(X)/cell/Homer"]
    grn.pp.add_binding(binned, table, aliases={"Blurb": "G3"})
    assert list(binned.uns["tilegrn"]["binding"]["tfs"]) == ["G3", "Ta", "Tb"]
    assert not len(binned.uns["tilegrn"]["binding"]["unresolved"])


def test_hits_of_several_motifs_of_a_tf_add_up(binned):
    table = pd.concat([BINDING, BINDING[:1].assign(source_id="Ta(zf)/second", tf_motifs_in_peak=4)])
    grn.pp.add_binding(binned, table)
    assert binned["atac"].varm["homer_binding"][0, 0] == 5
    assert binned["atac"].varm["homer_binding_score"][0, 0] == pytest.approx(5 / 8)


def test_peaks_spelt_otherwise_match(binned):
    grn.pp.add_binding(binned, BINDING.assign(peak_id=BINDING["peak_id"].str.replace(":", "-")))
    assert binned["atac"].varm["homer_binding"].sum() == 8


def test_parquet_tsv_and_csv_give_the_same(binned, tmp_path):
    BINDING.to_parquet(tmp_path / "b.parquet")
    BINDING.to_csv(tmp_path / "b.tsv.gz", sep="\t", index=False)
    BINDING.to_csv(tmp_path / "b.csv", index=False)
    for name in ("b.parquet", "b.tsv.gz", "b.csv"):
        grn.pp.add_binding(binned, tmp_path / name)
        assert binned["atac"].varm["homer_binding"].sum() == 8
    with pytest.raises(grn.errors.InputError, match="does not exist"):
        grn.pp.add_binding(binned, tmp_path / "none.tsv")


BAD = {
    "columns": (lambda t: t.drop(columns="peak_id"), r"lacks the columns \['peak_id'\]"),
    "empty": (lambda t: t[:0], "no rows"),
    "fraction": (lambda t: t.assign(tf_motifs_in_peak=[1, 2, 0.5, 1, 1]), r"whole numbers of hits; row 2 .* 0\.5"),
    "negative": (lambda t: t.assign(tf_motifs_in_peak=[1, -2, 1, 1, 1]), "row 1"),
    "twice": (lambda t: pd.concat([t, t[:1]]), r"occur twice, e\.g\. \('Ta', 'chr1:100-600'\).*groupby"),
    "missing": (lambda t: t.assign(peak_id=[None, *PEAKS[1:5]]), "empty values, first in row 0"),
    "other peaks": (
        lambda t: t.assign(peak_id="chr1:7-9").drop_duplicates("source_id"),
        "No peak_id of the binding table",
    ),
    "one-based": (
        lambda t: t.assign(
            peak_id=["chr1:101-600", "chr1:901-1300", "chr1:1001-1400", "chr1:1001-1400", "chr2:2001-2600"]
        ),
        "1-based, as HOMER prints them",
    ),
    "HOMER's names": (lambda t: t.assign(peak_id=[f"p{i}" for i in range(5)]), r"peak_id='coordinates'"),
    "no TF": (
        lambda t: t.assign(source_id=["Xy1", "Xy1", "Xy1", "Zz9", "Zz9"]),
        r"None of the 2 motif or TF names.*aliases=",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_write_nothing(binned, case):
    make, match = BAD[case]
    with pytest.raises(grn.errors.InputError, match=match):
        grn.pp.add_binding(binned, make(BINDING))
    assert "homer_binding" not in binned["atac"].varm
    assert "is_tf" not in binned["rna"].var


def test_mark_tfs(binned, tmp_path):
    grn.pp.mark_tfs(binned, ["ta", "Nobody"])
    assert binned["rna"].var["is_tf"].tolist() == [True, False, False, False, False]
    (tmp_path / "tfs.txt").write_text("Tb\n\n")
    grn.pp.mark_tfs(binned, tmp_path / "tfs.txt")
    assert binned["rna"].var["is_tf"].tolist() == [True, True, False, False, False]
    with pytest.raises(grn.errors.InputError, match="right species"):
        grn.pp.mark_tfs(binned, ["SOX2"])


def test_letter_case_that_decides_between_genes_is_said():
    mdata = small()
    mdata["rna"].var_names = ["Dl", "dl", "Qx", "G2", "G3"]
    grn.pp.bin_peaks(mdata, SIZES)
    with pytest.warns(UserWarning, match=r"'DL' of the motifs for 'Dl', 'dl' of 'rna'.*aliases=") as seen:
        grn.pp.add_binding(mdata, BINDING.replace({"source_id": {"Ta": "DL", "Tb": "G3"}}))
    assert seen[0].filename == __file__
    assert list(mdata.uns["tilegrn"]["binding"]["tfs"]) == ["G3"]
    with pytest.warns(UserWarning, match=r"1 motif or TF names .*letter case only, e\.g\. 'qX' for 'Qx'"):
        grn.pp.add_binding(mdata, BINDING.replace({"source_id": {"Ta": "qX", "Tb": "G3"}}))
    with pytest.warns(UserWarning, match=r"'DL' of the TF list for 'Dl', 'dl' of 'rna'. They are not marked"):
        grn.pp.mark_tfs(mdata, ["DL", "G3"])
    with pytest.raises(grn.errors.InputError, match=r"None of the 1 TFs.*'DL'.*'Dl', 'dl'.*apart"):
        grn.pp.mark_tfs(mdata, ["DL"])
