"""Not one cell and not one hit may differ from what the real HOMER 4.9.1 wrote."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest

from tilegrn.io import read_motifs
from tilegrn.motifs import count_hits, find_hits

SHIFT = 87_000_000
V4 = "homer/homer_v4.9.1_vertebrates_known.motifs"
V5 = "motifs/homer_v5.0.1_vertebrates_known.motifs"


@pytest.fixture(scope="module")
def genome(real_data, tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "chr10.fa"
    path.write_bytes(gzip.decompress(real_data("reference/hg38_chr10_87000000-91000000.fa.gz").read_bytes()))
    return path


@pytest.fixture(scope="module")
def chrom(genome):
    with genome.open() as handle:
        return handle.readline()[1:].split()[0]


@pytest.fixture(scope="module")
def peaks(real_data, chrom):
    bed = pd.read_csv(
        real_data("homer/peaks.bed"), sep="\t", header=None, names=["chrom", "start", "end", "name"], usecols=range(4)
    )
    return bed.assign(chrom=chrom, start=bed["start"] - SHIFT, end=bed["end"] - SHIFT)


@pytest.fixture(scope="module")
def motifs(real_data):
    found = {}
    for name in (V4, V5):
        with pytest.warns(UserWarning, match="name"):  # each file has one name twice
            found[name] = read_motifs(real_data(name))
    return found


def homer_table(path, **options):
    table = pd.read_csv(path, sep="\t", index_col=0, **options).iloc[:, 8:]
    return table.rename(columns=lambda c: c.partition(" Distance From Peak")[0])


@pytest.mark.parametrize(
    ("output", "options"), [("default", {}), ("mask", {"mask": True}), ("size200", {"size": 200, "n_jobs": 2})]
)
def test_counts_of_annotatepeaks(real_data, genome, peaks, motifs, output, options):
    homer = homer_table(real_data(f"homer/annotatePeaks_nmotifs_{output}.tsv.gz"))
    counts = count_hits(genome, peaks, motifs[V4], **options)
    ours = counts.to_frame().sparse.to_dense()
    assert sorted(ours.columns) == sorted(homer.columns)
    assert sorted(ours.index) == sorted(homer.index)
    differing = ours.loc[homer.index, homer.columns].to_numpy() != homer.to_numpy()
    assert differing.sum() == 0
    assert homer.to_numpy().sum() > 10_000


def test_sites_of_annotatepeaks(real_data, genome, peaks, motifs):
    homer = homer_table(real_data("homer/annotatePeaks_sites_default.tsv.gz"), dtype=str).fillna("")
    hits = pd.concat(find_hits(genome, peaks, motifs[V4]), ignore_index=True)
    distance = hits["position"] - hits["interval"].map(peaks.set_index("name")["start"])
    hits["site"] = distance.astype(str) + "(" + hits["sequence"] + "," + hits["strand"].astype(str) + ",0.00)"
    ours = hits.groupby(["interval", "motif"], observed=True)["site"].agg(",".join).unstack(fill_value="")
    ours = ours.reindex(index=homer.index, columns=homer.columns, fill_value="")
    assert (ours.to_numpy() != homer.to_numpy()).sum() == 0


@pytest.mark.parametrize(("output", "name"), [("homer2_find_both_offset0", V4), ("homer2_find_v501_471motifs", V5)])
def test_hits_of_homer2_find(real_data, genome, peaks, motifs, output, name):
    columns = ["interval", "position", "sequence", "motif", "strand", "score"]
    homer = pd.read_csv(real_data(f"homer/{output}.tsv.gz"), sep="\t", header=None, names=columns, dtype={"score": str})
    hits = pd.concat(find_hits(genome, peaks, motifs[name], coordinates="homer2"))
    assert len(homer) > 40_000
    hits["score"] = [f"{s:.6f}" for s in hits["score"]]
    ours = sorted(hits[columns].astype(object).itertuples(index=False, name=None))
    assert ours == sorted(homer.itertuples(index=False, name=None))
