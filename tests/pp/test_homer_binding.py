"""Binding counted from sequence, written as binding from a table is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from tests.motifs import slow_scan
from tilegrn._core.mudata import no_pull
from tilegrn.errors import InputError, MissingStepError
from tilegrn.motifs import Motif
from tilegrn.pp import add_binding, bin_peaks
from tilegrn.pp._homer_binding import homer_binding

RNG = np.random.default_rng(11)
TEXT = "".join(RNG.choice(list("ACGT"), size=6000))
TEXT = "".join(TEXT[i : i + 90] + TEXT[i + 90 : i + 120].lower() for i in range(0, 6000, 120))
PEAKS = ["chr1:100-400", "chr1:900-1300", "chr1:2100-2200", "chr1:2300-2900", "chr1:5990-6000"]
GENES = ["Sox2", "Pou5f1", "Gapdh"]


def motif(name, seed, threshold):
    return Motif(name, np.random.default_rng(seed).dirichlet([0.4] * 4, size=6).round(3), threshold)


MOTIFS = [
    motif("Sox2(HMG)/mES-Sox2-ChIP-Seq(GSE11431)/Homer", 0, 2.0),
    motif("Oct4:Sox2(POU,Homeobox,HMG)/mES-ChIP-Seq/Homer", 1, 3.0),
    motif("GATA3(Zf)/iTreg-Gata3-ChIP-Seq(GSE20898)/Homer", 2, 3.0),
]


def make(peaks=PEAKS):
    rna = AnnData(sparse.csr_matrix(np.ones((3, 3), dtype=np.float32)))
    rna.var_names = GENES
    atac = AnnData(sparse.csr_matrix(np.ones((3, len(peaks)), dtype=np.float32)))
    atac.var_names = peaks
    with no_pull():
        return MuData({"rna": rna, "atac": atac})


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{TEXT}\n")
    return path


def expected(mask=False):
    counts = np.zeros((len(PEAKS), len(MOTIFS)), dtype=int)
    for i, peak in enumerate(PEAKS):
        start, end = map(int, peak.partition(":")[2].split("-"))
        counts[i] = [len(slow_scan.hits(TEXT[start:end], m, mask=mask)) for m in MOTIFS]
    return counts


@pytest.mark.parametrize("mask", [False, True])
def test_same_slots_as_a_table_of_the_same_hits(fasta, mask):
    mdata = make()
    bin_peaks(mdata, {"chr1": 6000})
    counts = expected(mask)
    assert (counts.sum(axis=0) > 0).all()
    assert homer_binding(mdata, fasta, MOTIFS, mask=mask) is None
    rows = [
        (MOTIFS[j].name, PEAKS[i], counts[i, j]) for i in range(len(PEAKS)) for j in range(len(MOTIFS)) if counts[i, j]
    ]
    other = make()
    bin_peaks(other, {"chr1": 6000})
    add_binding(other, pd.DataFrame(rows, columns=["source_id", "peak_id", "tf_motifs_in_peak"]))
    for mod, key in (("atac", "homer_binding"), ("atac", "homer_binding_score"), ("rna", "homer_binding")):
        ours, theirs = mdata[mod].varm[key], other[mod].varm[key]
        np.testing.assert_array_equal(ours.toarray(), theirs.toarray())
    assert mdata["rna"].var["is_tf"].tolist() == [True, True, False]
    record = mdata.uns["tilegrn"]["binding"]
    assert list(record["tfs"]) == ["Pou5f1", "Sox2"]
    # Sox2 has a motif of its own and a share in the complex: hits of both add up.
    np.testing.assert_array_equal(mdata["atac"].varm["homer_binding"].toarray()[:, 1], counts[:, 0] + counts[:, 1])
    assert list(record["absent"]) == [MOTIFS[2].name]
    assert (record["source"], record["size"], record["mask"]) == ("homer_binding", "given", mask)


def test_a_copy_leaves_the_original(fasta):
    mdata = make()
    bin_peaks(mdata, {"chr1": 6000})
    copy = homer_binding(mdata, fasta, MOTIFS, size=50, n_jobs=1, copy=True)
    assert "homer_binding" in copy["atac"].varm
    assert "homer_binding" not in mdata["atac"].varm
    assert copy.uns["tilegrn"]["binding"]["size"] == "50"


def test_aliases_reach_the_resolver(fasta):
    mdata = make()
    bin_peaks(mdata, {"chr1": 6000})
    homer_binding(mdata, fasta, MOTIFS, aliases={"GATA3": "Gapdh"})
    assert list(mdata.uns["tilegrn"]["binding"]["tfs"]) == ["Gapdh", "Pou5f1", "Sox2"]


def test_nothing_is_written_when_something_is_wrong(fasta, tmp_path):
    mdata = make()
    with pytest.raises(MissingStepError, match="bin_peaks"):
        homer_binding(mdata, fasta, MOTIFS)
    bin_peaks(mdata, {"chr1": 6000})
    short = tmp_path / "short.fa"
    short.write_text(f">chr1\n{TEXT[:5000]}\n")
    other = tmp_path / "other.fa"
    other.write_text(f">chrX\n{TEXT}\n")
    for path, motifs, message in (
        (short, MOTIFS, "end past their chromosome: chr1:5990-6000 by 1000 bp"),
        (other, MOTIFS, "lacks 1 chromosomes of 5 intervals"),
        (tmp_path / "none.fa", MOTIFS, "is missing"),
        (fasta, [], "no motif"),
        (fasta, MOTIFS[2:], "is a gene of 'rna'"),
        (fasta, tmp_path / "none.motif", "does not exist"),
    ):
        with pytest.raises(InputError, match=message):
            homer_binding(mdata, path, motifs)
    assert "homer_binding" not in mdata["atac"].varm
    assert "binding" not in mdata.uns["tilegrn"]
    assert "is_tf" not in mdata["rna"].var
