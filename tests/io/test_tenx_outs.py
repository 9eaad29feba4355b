import gzip
import warnings

import numpy as np
import pandas as pd
import pytest
from benchmarks.reliability._formats import tenx, tenx_folder

from tilegrn.errors import InputError
from tilegrn.io import read_10x, read_h5mu, write_h5mu

ANNOTATION = (
    "chrom\tstart\tend\tgene\tdistance\tpeak_type\n"
    "chr1\t1\t9\tA;B\t-80;12\tpromoter;distal\nchr1\t20\t90\tC\t0\tpromoter\nchr2\t3\t70\tB\t500\tdistal\n"
)


def outs(path, *, annotation=ANNOTATION, h5=True, mtx=True):
    path.mkdir()
    if h5:
        tenx(path / "filtered_feature_bc_matrix.h5")
    if mtx:
        tenx_folder(path / "filtered_feature_bc_matrix")
    (path / "atac_peak_annotation.tsv").write_text(annotation)
    (path / "atac_fragments.tsv.gz").write_bytes(gzip.compress(b"# id=x\n"))
    return path


def test_both_matrices_give_the_same(tmp_path):
    from_h5 = read_10x(outs(tmp_path / "outs"))
    from_mtx = read_10x(tmp_path / "outs" / "filtered_feature_bc_matrix")
    for name in ("rna", "atac"):
        one, other = from_h5[name], from_mtx[name]
        np.testing.assert_array_equal(one.X.toarray(), other.X.toarray())
        for column in ("gene_ids", "feature_types", "interval"):
            assert list(one.var[column]) == list(other.var[column])
        assert list(one.obs_names) == list(other.obs_names)
    assert list(from_h5["rna"].var["interval"]) == ["chr1:1-2", "chr1:3-4", "chr1:5-6"]
    for mdata in (from_h5, from_mtx):
        assert mdata["atac"].uns["files"]["fragments"] == str(tmp_path / "outs" / "atac_fragments.tsv.gz")
        assert list(mdata["atac"].uns["atac"]["peak_annotation"].index) == ["A", "B", "C", "B"]


def test_the_annotation_is_that_of_muon(tmp_path):
    mdata = read_10x(outs(tmp_path / "outs"))
    found = mdata["atac"].uns["atac"]["peak_annotation"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import muon

        theirs = mdata["atac"].copy()
        del theirs.uns["atac"]
        muon.atac.tl.add_peak_annotation(theirs, str(tmp_path / "outs" / "atac_peak_annotation.tsv"))
    want = theirs.uns["atac"]["peak_annotation"]
    pd.testing.assert_frame_equal(found, want.rename_axis("gene_name"), check_dtype=False, check_index_type=False)
    write_h5mu(tmp_path / "x.h5mu", mdata)
    again = read_h5mu(tmp_path / "x.h5mu")["atac"].uns["atac"]["peak_annotation"]
    assert list(again["distance"]) == [-80, 12, 0, 500]


def test_peaks_near_no_gene_and_genes_by_their_ids(tmp_path):
    text = ANNOTATION.replace("B\t500\tdistal", "\t\tintergenic").replace("A;B", "E0;E1").replace("\tC\t", "\tE2\t")
    table = read_10x(outs(tmp_path / "outs", annotation=text))["atac"].uns["atac"]["peak_annotation"]
    assert list(table.index) == ["A", "B", "C", ""]
    assert np.isnan(table["distance"].iloc[-1])
    assert list(table["peak"]) == ["chr1:1-9", "chr1:1-9", "chr1:20-90", "chr2:3-70"]


def test_the_older_spelling_of_peaks_and_a_prefix(tmp_path):
    text = "peak\tgene\tdistance\tpeak_type\nchr1_GL_1_9\tA\t5\tdistal\n"
    outs(tmp_path / "outs", annotation=text)
    for name in ("filtered_feature_bc_matrix.h5", "atac_peak_annotation.tsv", "atac_fragments.tsv.gz"):
        (tmp_path / "outs" / name).rename(tmp_path / f"pbmc_{name}")
    uns = read_10x(tmp_path / "pbmc_filtered_feature_bc_matrix.h5")["atac"].uns
    assert list(uns["atac"]["peak_annotation"]["peak"]) == ["chr1_GL:1-9"]
    assert uns["files"]["fragments"].endswith("pbmc_atac_fragments.tsv.gz")


def test_a_run_folder_and_a_matrix_alone(tmp_path):
    (tmp_path / "run").mkdir()
    outs(tmp_path / "run" / "outs", h5=False)
    assert read_10x(tmp_path / "run")["rna"].shape == (5, 3)
    tenx_folder(tmp_path / "alone")
    assert dict(read_10x(tmp_path / "alone")["atac"].uns) == {}
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no filtered_feature_bc_matrix.h5, no folder .* it has \[\]"):
        read_10x(tmp_path / "empty")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a table"),
        ("a\tb\n1\t2\n", r"has no column \['gene', 'distance', 'peak_type', 'peak'\]"),
        (ANNOTATION.replace("-80;12", "-80"), "row 1 has unlike numbers of genes"),
        (ANNOTATION.replace("500", "near"), "'near' is no distance in bp"),
    ],
)
def test_damaged_annotation(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_10x(outs(tmp_path / "outs", annotation=text))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("features.tsv.gz", None, "lacks features.tsv"),
        ("barcodes.tsv.gz", b"AC0-1\n", "name 6 features and 1 cells"),
        ("features.tsv.gz", b"E0\tA\n", "line 1: not id, name and type"),
        ("features.tsv.gz", b"".join(b"E%d\tG%d\tPeaks\n" % (i, i) for i in range(6)), "holds no rna features"),
    ],
)
def test_damaged_folder(tmp_path, name, text, message):
    made = outs(tmp_path / "outs", h5=False) / "filtered_feature_bc_matrix"
    (made / name).unlink() if text is None else (made / name).write_bytes(text)
    with pytest.raises(InputError, match=message):
        read_10x(made)


def test_damaged_intervals(tmp_path):
    import h5py

    made = outs(tmp_path / "outs") / "filtered_feature_bc_matrix.h5"
    with h5py.File(made, "r+") as file:
        del file["matrix/features/interval"]
        file["matrix/features/interval"] = np.array(["chr1:1-2"] * 2, dtype="S")
    with pytest.raises(InputError, match=r"has 2 intervals for 3|Length of values \(2\)"):
        read_10x(made)
