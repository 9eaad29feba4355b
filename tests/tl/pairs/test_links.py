"""Links of every peak within reach: the same score as for pairs, complete, ranked; and their files."""

from __future__ import annotations

import gzip

import matplotlib as mpl

mpl.use("Agg")

import mudata as md
import numpy as np
import pandas as pd
import pytest
from tests.tl.pairs._paired import N_GENES, SIZES, paired, tss_table

from tilegrn import io, pl, pp, tl
from tilegrn._core.mudata import no_pull
from tilegrn.errors import InputError
from tilegrn.tl.evaluate._link_score import evaluate_links

SITES = tss_table()


@pytest.fixture(scope="module")
def mdata():
    return paired()


@pytest.fixture(scope="module")
def every(mdata):
    return tl.links(mdata, groupby="type", top=None, tss=SITES)


def as_pairs(table):
    span = table["peak"].astype(str).str.extract(r"^(.+):(\d+)-(\d+)$")
    return pd.DataFrame(
        {
            "chrom": span[0],
            "start": span[1].astype(int),
            "end": span[2].astype(int),
            "gene": table["target"].astype(str),
        }
    )


def test_every_pair_within_reach_is_listed_once_with_its_distance(mdata, every):
    tss = SITES[SITES["gene"].str.startswith("G")]
    spans = as_pairs(pd.DataFrame({"peak": mdata["atac"].var_names, "target": ""}))
    slow = {}
    for name, (_, p) in zip(mdata["atac"].var_names, spans.iterrows(), strict=True):
        middle = (p["start"] + p["end"]) // 2
        for _, t in tss[tss["chrom"] == p["chrom"]].iterrows():
            d = abs(middle - t["pos"])
            if d <= 1_000_000:
                slow[name, t["gene"]] = min(d, slow.get((name, t["gene"]), d))
    for group in "abc":
        mine = every[every["group"] == group]
        found = dict(
            zip(zip(mine["peak"].astype(str), mine["target"].astype(str), strict=True), mine["distance"], strict=True)
        )
        assert found == slow
        assert len(mine) == len(slow)


def test_links_are_scored_as_pairs(mdata, every):
    mine = every[every["group"] == "b"].reset_index(drop=True)
    score = tl.score_pairs(mdata, as_pairs(mine), groupby="type", group="b", tss=SITES, return_features=True)
    np.testing.assert_allclose(mine["score"], score["score"], rtol=1e-9)
    np.testing.assert_allclose(mine["correlation"], score["correlation"], atol=1e-6)
    np.testing.assert_allclose(mine["accessibility"], np.exp(score["accessibility"]) - 3, rtol=1e-4, atol=1e-2)
    assert mine["score"].is_monotonic_decreasing
    alone = tl.links(mdata, groupby="type", group="b", top=None, tss=SITES)
    np.testing.assert_array_equal(alone["score"], mine["score"])


def test_the_best_of_each_gene_are_kept(mdata, every):
    top = tl.links(mdata, groupby="type", top=3, tss=SITES)
    assert (top.groupby(["group", "target"], observed=True).size() <= 3).all()
    best = every[every["rank"] <= 3].reset_index(drop=True)
    pd.testing.assert_frame_equal(top, best)
    for _, rows in every.groupby(["group", "target"], observed=True):
        ranked = rows.sort_values("rank")
        assert ranked["rank"].tolist() == list(range(1, len(rows) + 1))
        assert ranked["score"].is_monotonic_decreasing


def test_distance_is_from_the_tss_named_and_reach_is_kept(mdata, every):
    middle = as_pairs(every)[["start", "end"]].sum(axis=1) // 2
    np.testing.assert_array_equal((middle - every["tss"]).abs(), every["distance"])
    near = tl.links(mdata, top=None, max_distance=50_000, tss=SITES)
    assert near["distance"].max() <= 50_000
    with pytest.raises(InputError, match="max_distance"):
        tl.links(mdata, max_distance=0, tss=SITES)
    with pytest.raises(InputError, match="top is 0"):
        tl.links(mdata, top=0)
    with pytest.raises(InputError, match="groupby="):
        tl.links(mdata, group="a")
    with pytest.raises(InputError, match="'z'"):
        tl.links(mdata, groupby="type", group="z")


def test_activity_of_peaks_is_used(mdata, tmp_path):
    bed = tmp_path / "a.bed"
    names = as_pairs(pd.DataFrame({"peak": mdata["atac"].var_names, "target": ""}))
    bed.write_text(
        "".join(f"{c}\t{s}\t{e}\n" for c, s, e in zip(names["chrom"], names["start"], names["end"], strict=True))
    )
    got = tl.links(mdata, groupby="type", group="a", activity=bed, top=None, tss=SITES)
    assert got.attrs["features"] == "base + other groups + activity"
    some = got.iloc[::50]
    pairs = tl.score_pairs(mdata, as_pairs(some), groupby="type", group="a", activity=bed, tss=SITES)
    np.testing.assert_allclose(some["score"], pairs, rtol=1e-9)


def test_links_are_judged_and_drawn(mdata):
    table = tl.links(mdata, tss=SITES)
    truth = as_pairs(table.iloc[::7]).assign(regulated=np.arange(len(table.iloc[::7])) < 20)
    found = evaluate_links(table, truth, mdata=mdata)
    assert found.table.loc["edges", "auroc"] == 1  # the first rows are those of the highest scores
    ax = pl.locus(mdata, "G7", links=table)
    assert len(ax.lines) > 3


def test_bedpe_and_interact(mdata, tmp_path):
    table = tl.links(mdata, groupby="type", top=2, tss=SITES)
    io.write_links(tmp_path / "l.bedpe", table)
    bedpe = pd.read_csv(tmp_path / "l.bedpe", sep="\t")
    assert list(bedpe.columns[:10]) == [
        *("#chrom1", "start1", "end1", "chrom2", "start2", "end2", "name", "score", "strand1", "strand2")
    ]
    pairs = as_pairs(table)
    np.testing.assert_array_equal(bedpe["start1"], pairs["start"])
    np.testing.assert_array_equal(bedpe["start2"], table["tss"])
    np.testing.assert_array_equal(bedpe["end2"], table["tss"] + 1)
    np.testing.assert_allclose(bedpe["score"], table["score"])
    assert bedpe["group"].tolist() == table["group"].astype(str).tolist()
    io.write_links(tmp_path / "l.interact.gz", table.assign(group="T cell"))
    lines = gzip.decompress((tmp_path / "l.interact.gz").read_bytes()).decode().splitlines()
    assert lines[0].startswith("track type=interact ")
    rows = [line.split("\t") for line in lines[2:]]
    assert len(rows) == len(table)
    for row, (_, want), (_, link) in zip(rows, pairs.iterrows(), table.iterrows(), strict=True):
        assert len(row) == len(lines[1].split("\t")) == 18
        chrom, start, end, name, score, value, exp = row[:7]
        assert chrom == row[8] == row[13] == want["chrom"]
        assert int(start) == min(want["start"], link["tss"])
        assert int(end) == max(want["end"], link["tss"] + 1)
        assert 0 <= int(score) <= 1000
        assert float(value) == pytest.approx(link["score"])
        assert exp == "T_cell"
        assert " " not in name
        assert int(row[9]) == want["start"]
        assert int(row[15]) == int(row[14]) + 1 == link["tss"] + 1
        assert row[16] == want["gene"]
    io.write_links(tmp_path / "l.csv", table)
    assert len(pd.read_csv(tmp_path / "l.csv")) == len(table)
    io.write_links(tmp_path / "none.bedpe", table.iloc[:0])
    assert len(pd.read_csv(tmp_path / "none.bedpe", sep="\t")) == 0


def test_a_file_is_written_whole_or_not_at_all(mdata, tmp_path):
    table = tl.links(mdata, top=2, tss=SITES)
    path = tmp_path / "l.bedpe"
    path.write_text("before")
    with pytest.raises(InputError, match="tss"):
        io.write_links(path, table.drop(columns="tss"))
    with pytest.raises(InputError, match="no interval"):
        io.write_links(path, table.assign(peak="here"))
    with pytest.raises(InputError, match="unknown"):
        io.write_links(path, table, format="gff")
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["l.bedpe"]


def test_peaks_on_unknown_chromosomes_and_genes_without_tss_have_no_links(mdata):
    other = paired()
    names = list(other["atac"].var_names)
    names[3] = "chrUn_x:10-400"
    other["atac"].var_names = names
    other["rna"].var_names = [*(f"G{i}" for i in range(N_GENES - 1)), "Nowhere"]
    for part in other.mod.values():
        part.varm.clear()
        part.obsm.clear()
    with no_pull():
        other = md.MuData(dict(other.mod))
    with pytest.warns(UserWarning, match="chrUn_x"):
        pp.bin_peaks(other, SIZES)
    with pytest.warns(UserWarning, match="Nowhere"):
        pp.tss_distance(other, SITES)
    table = tl.links(other, top=None, tss=SITES)
    assert "chrUn_x:10-400" not in set(table["peak"].astype(str))
    assert "Nowhere" not in set(table["target"].astype(str))
    assert np.isfinite(table["score"]).all()
