"""The simulation keeps its promises: reproducible, its sites in its sequence, its truth in its peaks and counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tilegrn.datasets import simulate
from tilegrn.datasets._cells import poisson_from_uniform
from tilegrn.errors import InputError
from tilegrn.io.h5mu._h5mu import read_h5mu

SMALL = {"n_cells": 150, "n_genes": 80, "n_peaks": 300, "n_tfs": 12, "n_chroms": 2, "chrom_length": 800_000}
DNA = {"A": 0, "C": 1, "G": 2, "T": 3}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    return simulate(**SMALL, seed=3, folder=folder), folder


def read_fasta(path):
    return {
        block.partition("\n")[0]: block.partition("\n")[2].replace("\n", "")
        for block in path.read_text().split(">")[1:]
    }


def read_motifs(path):
    out = {}
    for block in path.read_text().split(">")[1:]:
        head, *rows = block.strip().split("\n")
        _, name, threshold = head.split("\t")[:3]
        out[name] = (np.array([[float(v) for v in row.split("\t")] for row in rows]), float(threshold))
    return out


def hits(sequence, matrix, threshold):
    """Count hits on both strands, written plainly after HOMER's rule."""
    weights = np.log(np.maximum(matrix, 0.001) / 0.25)
    n, length = 0, len(matrix)
    flipped = sequence.upper()[::-1].translate(str.maketrans("ACGTN", "TGCAN"))
    for strand in (sequence.upper(), flipped):
        for at in range(len(strand) - length + 1):
            word = strand[at : at + length]
            n += "N" not in word and sum(weights[i, DNA[b]] for i, b in enumerate(word)) >= threshold
    return n


def test_same_seed_same_everything_other_seed_not():
    one, two, other = (simulate(**SMALL, seed=s) for s in (5, 5, 6))
    for modality in ("rna", "atac"):
        assert (one[modality].X != two[modality].X).nnz == 0
        assert list(one[modality].obs_names) == list(two[modality].obs_names)
    pd.testing.assert_frame_equal(one.uns["simulation"]["truth"], two.uns["simulation"]["truth"])
    assert list(one["atac"].var_names) != list(other["atac"].var_names)


def test_raw_counts_in_one_cell_order():
    mdata = simulate(**SMALL, seed=1)
    assert list(mdata["rna"].obs_names) == list(mdata["atac"].obs_names)
    assert mdata["rna"].obs_names.is_unique
    assert set(mdata.obs["sample"]) == {"S1", "S2", "S3", "S4"}
    for modality in ("rna", "atac"):
        values = mdata[modality].X.data
        assert values.dtype == np.float32
        assert (values == np.round(values)).all()
        assert (values > 0).all()


def test_planted_sites_are_in_the_sequence_and_counted(written):
    mdata, folder = written
    genome, motifs = read_fasta(folder / "genome.fa"), read_motifs(folder / "motifs.motif")
    sites = pd.read_csv(folder / "sites.tsv", sep="\t")
    for row in sites.itertuples():
        matrix, threshold = motifs[row.motif]
        assert hits(genome[row.chrom][row.start : row.end], matrix, threshold) >= 1
    counts = sites.groupby(["source", "peak_id"]).size()
    table = mdata.uns["simulation"]["binding"].set_index(["source_id", "peak_id"])["tf_motifs_in_peak"]
    assert counts.to_dict() == table.to_dict()


def test_chance_hits_are_about_as_common_as_the_p_value_says(written):
    mdata, folder = written
    genome, motifs = read_fasta(folder / "genome.fa"), read_motifs(folder / "motifs.motif")
    planted = mdata.uns["simulation"]["binding"]
    name = "Tf1(Zf)/Simulated/tilegrn"
    spans = mdata["atac"].var
    found = sum(
        hits(genome[c][s:e], *motifs[name]) for c, s, e in spans[["chrom", "start", "end"]].itertuples(index=False)
    )
    chance = 2 * 2e-5 * (spans["end"] - spans["start"]).sum()
    extra = found - planted.loc[planted["source_id"] == "Tf1", "tf_motifs_in_peak"].sum()
    assert 0 <= extra <= chance + 5 * np.sqrt(chance)


def test_genome_files_agree(written):
    mdata, folder = written
    genome = read_fasta(folder / "genome.fa")
    sizes = dict(line.split("\t") for line in (folder / "genome.chrom.sizes").read_text().splitlines())
    assert {c: len(s) for c, s in genome.items()} == {c: int(n) for c, n in sizes.items()}
    assert mdata.uns["simulation"]["chrom_sizes"] == {c: int(n) for c, n in sizes.items()}
    assert set("".join(genome.values())) == set("ACGTacgtN")
    bed = pd.read_csv(folder / "tss.bed", sep="\t", header=None)
    assert (bed[2] - bed[1] == 1).all()
    assert set(bed[3]) == set(mdata["rna"].var_names)
    assert bed[3].duplicated().any(), "some genes should have several TSSs"


def test_peaks_are_disjoint_and_some_split_evenly():
    var = simulate(**SMALL, seed=2)["atac"].var
    for _, rows in var.groupby("chrom", observed=True):
        assert (rows["start"].to_numpy()[1:] >= rows["end"].to_numpy()[:-1]).all()
    border = -(-var["start"] // 1000) * 1000
    assert ((border - var["start"]) == (var["end"] - border)).sum() >= 3


def test_truth_fits_peaks_windows_and_distances():
    mdata = simulate(**SMALL, seed=4)
    simulation = mdata.uns["simulation"]
    truth, tss = simulation["truth"], simulation["tss"]
    var = mdata["atac"].var
    assert set(truth["cre"]) <= set(var.index)
    assert not set(truth["source"]) & set(truth["target"]), "TFs are drivers"
    bound = set(zip(simulation["binding"]["source_id"], simulation["binding"]["peak_id"], strict=True))
    for row in truth.itertuples():
        peak = var.loc[row.cre]
        assert (row.source, row.cre) in bound
        positions = tss.loc[(tss["gene"] == row.target) & (tss["chrom"] == peak["chrom"]), "pos"]
        inside = positions.between(peak["start"], peak["end"] - 1).any()
        nearest = 0 if inside else min(abs(positions - peak["start"]).min(), abs(positions - peak["end"] + 1).min())
        assert row.distance == nearest
        if row.window:
            low, _, high = row.window.partition(":")[2].partition("-")
            overlap = min(peak["end"], int(high)) - max(peak["start"], int(low))
            assert 2 * overlap > peak["end"] - peak["start"]
    summed = truth.groupby(["source", "target"])["strength"].sum()
    edges = simulation["edges"].set_index(["source", "target"])
    np.testing.assert_allclose(edges["strength"], summed.loc[edges.index])
    assert truth.groupby("source")["sign"].nunique().max() == 1


def test_strength_falls_with_the_decay():
    truth = simulate(n_cells=10, n_genes=600, seed=0, decay=10_000).uns["simulation"]["truth"]
    links = truth.drop_duplicates(["target", "cre"])
    slope = np.polyfit(links["distance"], np.log(links["strength"]), 1)[0]
    assert -1 / slope == pytest.approx(10_000, rel=0.1)
    assert links["distance"].max() <= 25_000


def test_knockout_changes_only_the_tf_and_its_targets():
    wild = simulate(**SMALL, seed=7)
    without = simulate(**SMALL, seed=7, knockout={"Tf3": 0.0})
    edges = wild.uns["simulation"]["edges"]
    targets = edges.loc[edges["source"] == "Tf3"].set_index("target")
    assert len(targets)
    assert (wild["atac"].X != without["atac"].X).nnz == 0
    before, after = wild["rna"].layers["true_rate"], without["rna"].layers["true_rate"]
    changed = set(wild["rna"].var_names[np.abs(before - after).max(axis=0) > 0])
    assert changed == {"Tf3", *targets.index}
    assert after[:, 2].max() == 0
    difference = (wild["rna"].X != without["rna"].X).toarray().any(axis=0)
    assert set(wild["rna"].var_names[difference]) <= changed
    sign = targets["sign"].iloc[0]
    shift = (after - before)[:, wild["rna"].var_names.get_indexer(targets.index)]
    assert (sign * shift <= 1e-6).all(), "taking an activator away can only lower its targets, a repressor only raise"
    assert np.abs(shift).max() > 0.01


def test_more_cells_do_not_need_one_block():
    mdata = simulate(**{**SMALL, "n_cells": 1100}, seed=0)
    assert mdata.n_obs == 1100
    rate, size = mdata["rna"].layers["true_rate"], mdata["rna"].obs["true_size"].to_numpy()
    total = (rate * size[:, None]).sum()
    assert mdata["rna"].X.sum() == pytest.approx(total, rel=0.02)


def test_cells_follow_state_and_network():
    """True targets correlate with their activator beyond other genes; the signal is there, yet far from perfect."""
    mdata = simulate(n_cells=800, n_genes=200, n_peaks=900, n_tfs=20, chrom_length=1_000_000, seed=1)
    edges = mdata.uns["simulation"]["edges"]
    strong = edges[(edges["strength"] > 0.8) & (edges["sign"] > 0)]
    level = np.log1p(mdata["rna"].X.toarray() / mdata["rna"].obs["true_size"].to_numpy()[:, None])
    correlation = np.corrcoef(level.T)
    at = mdata["rna"].var_names.get_indexer
    hit = correlation[at(strong["source"]), at(strong["target"])]
    rest = correlation[:20, 20:]
    assert hit.mean() > rest.mean() + 0.1
    assert np.mean(np.abs(hit) > 0.5) < 0.5


def test_truth_survives_the_file(written):
    mdata, folder = written
    back = read_h5mu(folder / "multiome.h5mu")
    kept, made = back.uns["simulation"], mdata.uns["simulation"]
    for name in ("truth", "edges", "binding", "tss"):
        for column in made[name]:
            assert list(kept[name][column]) == list(made[name][column])
    assert {c: int(n) for c, n in kept["chrom_sizes"].items()} == made["chrom_sizes"]
    np.testing.assert_array_equal(back["rna"].layers["true_rate"], mdata["rna"].layers["true_rate"])
    on_disk = pd.read_csv(folder / "truth.tsv", sep="\t", keep_default_na=False)
    assert list(on_disk["window"]) == list(made["truth"]["window"])


@pytest.mark.parametrize("mean", [1e-6, 0.3, 4.0, 80.0])
def test_poisson_from_uniform_inverts_the_distribution(mean):
    from scipy.stats import poisson

    uniform = np.random.default_rng(0).random((40, 50))
    np.testing.assert_array_equal(
        poisson_from_uniform(np.full_like(uniform, mean), uniform), poisson.ppf(uniform, mean)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_tfs": 80}, "n_tfs is 80"),
        ({"n_cells": 0}, "n_cells is 0"),
        ({"n_cells": 3}, "each sample needs a cell"),
        ({"n_peaks": 30_000}, "do not fit"),
        ({"decay": 0}, "decay is 0"),
        ({"repressors": 1.5}, "repressors is 1.5"),
        ({"knockout": {"Sox2": 0.0}}, "knockout names 'Sox2'"),
        ({"knockout": {"Tf1": -1.0}}, "knockout factor of 'Tf1'"),
        ({"knockout": {"Tf1": np.nan}}, "knockout factor of 'Tf1'"),
    ],
)
def test_sizes_that_do_not_fit_are_named(change, message):
    with pytest.raises(InputError, match=message):
        simulate(**{**SMALL, **change})
