"""``tilegrn edges``, ``links`` and ``scan`` write what the calls in Python give; options may come from a YAML file."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
from tests._small import copied

import tilegrn as grn
from tilegrn import cli
from tilegrn.cli._outputs import file_record

SMALL = {"n_cells": 160, "n_genes": 60, "n_peaks": 240, "n_tfs": 10, "n_chroms": 2, "chrom_length": 600_000}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    grn.datasets.simulate(**SMALL, seed=0, folder=folder)
    return folder


@pytest.fixture(scope="module")
def prepared(data):
    mdata = grn.io.read_h5mu(data / "multiome.h5mu")
    grn.pp.bin_peaks(mdata, data / "genome.chrom.sizes")
    grn.pp.tss_distance(mdata, data / "tss.bed")
    return mdata


@pytest.fixture
def assembly(data):
    return ["--chrom-sizes", str(data / "genome.chrom.sizes"), "--tss", str(data / "tss.bed")]


def ran(*words):
    return cli.main([str(w) for w in words])


def test_scan_gives_the_table_that_binding_takes(data, prepared, tmp_path, capsys):
    bed = tmp_path / "peaks.bed"
    peaks = prepared["atac"].var_names
    bed.write_text("\n".join(p.replace(":", "\t").replace("-", "\t") for p in peaks) + "\n")
    files = [data / "genome.fa", data / "motifs.motif"]
    for name in ("hits.parquet", "hits.tsv", "hits.csv.gz"):
        assert ran("scan", *files, bed, tmp_path / name) == 0
        assert f"{len(peaks):,} peaks" in capsys.readouterr().out
    assert ran("scan", *files, data / "multiome.h5mu", tmp_path / "same.tsv", "--threads", "1") == 0
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "hits.tsv", sep="\t"), pd.read_parquet(tmp_path / "hits.parquet"), check_dtype=False
    )
    assert (tmp_path / "same.tsv").read_text() == (tmp_path / "hits.tsv").read_text()
    scanned = grn.pp.homer_binding(prepared, *files, copy=True)
    for name in ("hits.parquet", "hits.tsv", "hits.csv.gz"):
        read = grn.pp.add_binding(prepared, tmp_path / name, copy=True)
        assert (read["atac"].varm["homer_binding"] != scanned["atac"].varm["homer_binding"]).nnz == 0


def test_a_zarr_folder_is_taken_like_a_file(data, prepared, assembly, tmp_path, capsys):
    store = tmp_path / "multiome.zarr"
    grn.io.write_zarr(store, grn.io.read_h5mu(data / "multiome.h5mu"))
    for source, name in ((store, "of_zarr.csv"), (data / "multiome.h5mu", "of_h5mu.csv")):
        assert ran("links", source, tmp_path / name, *assembly) == 0
    assert (tmp_path / "of_zarr.csv").read_text() == (tmp_path / "of_h5mu.csv").read_text()
    files = [data / "genome.fa", data / "motifs.motif"]
    assert ran("scan", *files, store, tmp_path / "hits.tsv", "--threads", "1") == 0
    assert f"{prepared['atac'].n_vars:,} peaks" in capsys.readouterr().out
    assert ran("info", store) == 0
    assert "160 cells x 240 features" in capsys.readouterr().out
    record = file_record(store)
    assert record["name"] == "multiome.zarr"
    assert record["bytes"] == sum(p.stat().st_size for p in store.rglob("*") if p.is_file())
    (store / "more").touch()
    assert file_record(store)["sha256"] != record["sha256"]


def test_motifs_without_thresholds_are_scanned_at_a_pvalue(data, prepared, tmp_path, capsys):
    path = tmp_path / "motifs.jaspar"
    text = ""
    for motif in grn.io.read_motifs(data / "motifs.motif"):
        rows = zip("ACGT", motif.probabilities.T, strict=True)
        text += f">{motif.name} {motif.name}\n" + "".join(f"{b} [ {' '.join(map(str, p))} ]\n" for b, p in rows)
    path.write_text(text)
    words = ["scan", data / "genome.fa", path, data / "multiome.h5mu", tmp_path / "hits.csv"]
    assert ran(*words) == 2
    assert "--pvalue" in capsys.readouterr().err
    assert ran(*words, "--pvalue", "1e-4") == 0
    spans = grn.get.ranges(prepared, "peaks").as_df()[["Chromosome", "Start", "End"]]
    spans = spans.set_axis(["chrom", "start", "end"], axis=1)
    want = grn.motifs.count_hits(data / "genome.fa", spans, grn.io.read_motifs(path, pvalue=1e-4))
    assert pd.read_csv(tmp_path / "hits.csv")["tf_motifs_in_peak"].sum() == want.counts.sum() > 0


def test_links_of_counts_in_a_layer(data, prepared, assembly, tmp_path):
    mdata = grn.io.read_h5mu(data / "multiome.h5mu")
    mdata["rna"].layers["counts"] = mdata["rna"].X[::-1].copy()
    grn.io.write_h5mu(tmp_path / "layers.h5mu", mdata)
    out = tmp_path / "links.csv"
    assert ran("links", tmp_path / "layers.h5mu", out, *assembly, "--layer", "counts") == 0
    prepared = copied(prepared)
    prepared["rna"].layers["counts"] = mdata["rna"].layers["counts"]
    got = pd.read_csv(out)["score"]
    pd.testing.assert_series_equal(got, grn.tl.links(prepared, layer="counts")["score"], check_dtype=False)
    assert (got != grn.tl.links(prepared)["score"]).any()


def test_links_are_those_of_the_call(data, prepared, assembly, tmp_path, capsys):
    want = grn.tl.links(prepared, groupby="cell_type", top=3)
    out = tmp_path / "links.csv"
    assert ran("links", data / "multiome.h5mu", out, *assembly, "--groupby", "cell_type", "--top", 3) == 0
    got = pd.read_csv(out)
    assert f"{len(want):,} links" in capsys.readouterr().out
    pd.testing.assert_series_equal(got["score"], want["score"].reset_index(drop=True), check_dtype=False)
    assert got["peak"].tolist() == want["peak"].astype(str).tolist()
    assert ran("links", data / "multiome.h5mu", tmp_path / "links.bedpe", *assembly) == 0
    assert (tmp_path / "links.bedpe").read_text().startswith("#")


def test_edges_are_those_of_the_call(data, prepared, assembly, tmp_path, capsys):
    pytest.importorskip("torch")
    from tests.tl._ready import TINY

    grn.pp.homer_binding(prepared, data / "genome.fa", data / "motifs.motif")
    config = dataclasses.replace(TINY, teacher=dataclasses.replace(TINY.teacher, max_epochs=1))
    model = grn.tl.train(prepared, config=config, max_epochs=1, progress=False, split=None)
    model.save(tmp_path / "model")
    grn.io.write_h5mu(tmp_path / "annotated.h5mu", prepared)
    grn.tl.edges(prepared, model, max_cells=20)
    want = grn.get.edges(prepared)
    out = tmp_path / "edges.csv"
    asked = ["edges", data / "multiome.h5mu", tmp_path / "model", out, "--max-cells", 20]
    assert ran("edges", tmp_path / "annotated.h5mu", *asked[2:]) == 0
    assert f"{len(want):,} edges" in capsys.readouterr().out
    got = pd.read_csv(out)
    assert got[["source", "target"]].to_numpy().tolist() == want[["source", "target"]].astype(str).to_numpy().tolist()
    base = tmp_path / "base.parquet"
    assert ran("edges", tmp_path / "annotated.h5mu", asked[2], base, "--max-cells", 20, "--format", "celloracle") == 0
    assert {"peak_id", "gene_short_name"} < set(pd.read_parquet(base).columns)
    assert ran(*asked, *assembly) == 2
    assert "--force" in capsys.readouterr().err
    assert ran(*asked, *assembly, "--force") == 2
    assert "which TFs bind where" in capsys.readouterr().err
    scan = ["--fasta", data / "genome.fa", "--motifs", data / "motifs.motif"]
    assert ran(*asked, *assembly, *scan, "--force") == 0
    pd.testing.assert_frame_equal(pd.read_csv(out), got)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["links", "{data}/multiome.h5mu", "{data}/multiome.h5mu", "--force"], "is the input itself"),
        (["links", "{data}/multiome.h5mu", "{tmp}/no/links.csv"], "does not exist"),
        (["links", "{data}/multiome.h5mu", "{tmp}/links.csv"], "--genome"),
        (["scan", "{data}/genome.fa", "{data}/motifs.motif", "{data}/no.bed", "{tmp}/x.tsv"], "no.bed"),
    ],
)
def test_refused_before_any_work(words, message, data, tmp_path, capsys):
    assert ran(*[w.format(data=data, tmp=tmp_path) for w in words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_options_may_stand_in_a_file(data, assembly, tmp_path):
    by_hand = tmp_path / "by_hand.csv"
    assert ran("links", data / "multiome.h5mu", by_hand, *assembly, "--groupby", "cell_type", "--top", 2) == 0
    config = tmp_path / "links.yaml"
    config.write_text(
        f"h5mu: {data}/multiome.h5mu\nout: {tmp_path}/from_file.csv\nchrom_sizes: {assembly[1]}\n"
        f"tss: {assembly[3]}\ngroupby: cell_type\ntop: 9\nquiet: true\n"
    )
    assert ran("links", "--config", config, "--top", 2) == 0
    assert (tmp_path / "from_file.csv").read_text() == by_hand.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tpo: 3\n", "'tpo', which 'tilegrn links' does not have. It has: activity"),
        ("top: many\n", "top is 'many'"),
        ("top: -1\n", "is below 0"),
        ("force: 3\n", "is a switch"),
        ("top: [1, 2]\n", "takes one value"),
        ("format: xls\n", "there are: auto, bedpe"),
        ("- top\n", "holds no options"),
        ("top: [\n", "is no YAML"),
        ("top: !!python/object/apply:os.getcwd []\n", "is no YAML"),
    ],
)
def test_what_a_file_may_not_say(text, message, tmp_path, capsys):
    (tmp_path / "x.yaml").write_text(text)
    assert ran("links", "a.h5mu", "b.csv", "--config", tmp_path / "x.yaml") == 2
    assert message in capsys.readouterr().err


def test_an_absent_file_of_options(tmp_path, capsys):
    assert ran("links", "a.h5mu", "b.csv", f"--config={tmp_path}/no.yaml") == 2
    assert "no.yaml" in capsys.readouterr().err
