"""What every public call that takes a MuData answers, as tables labelled by name; and data in another order."""

from __future__ import annotations

import dataclasses
import inspect
import warnings

import matplotlib as mpl
import mudata as md
import numpy as np
import pandas as pd
from scipy import sparse

import tilegrn as grn
from tests._small import copied
from tests.tl._ready import TINY, simulated, sizes_of
from tilegrn._core.check import as_csr
from tilegrn._core.mudata import no_pull

mpl.use("Agg")

QUICK = {
    "config": dataclasses.replace(TINY, teacher=dataclasses.replace(TINY.teacher, max_epochs=1)),
    "max_epochs": 1,
    "n_models": 2,
    "progress": False,
    "accelerator": "cpu",
}

EXEMPT = {
    "pp.homer_binding": "scans a genome peak by peak and stores the result as add_binding does; tests/pp compare it",
    "pl.motif_hits": "draws the sequence under one region; cells and counts have no part in it",
    "pl.scorecard": "draws the table that tl.scorecard stored",
    "pl.report": "shows what the other calls answer",
    "pl.stability": "draws the histogram of a column of the edges",
    "pl.training": "draws the losses that tl.train stored",
    "io.provenance": "prints the records that the steps have left",
    "tl.predict_file": "writes what tl.predict writes; tests of streamed data compare them",
    "io.read_homer": "reads a file; the MuData only names peaks",
    "io.run_homer": "hands peaks to a program of others, one by one",
    "io.write_homer_peaks": "writes peaks in the order that they have",
    "io.write_h5mu": "writes what it is given, in the order that it has",
    "io.write_layer": "finds cells and genes by name; tests/io/h5mu permute them",
    "io.write_zarr": "writes what it is given, in the order that it has",
}


def public():
    """Names of public functions one of whose parameters is a MuData."""
    found = set()
    for space in ("pp", "tl", "get", "pl", "io", "datasets"):
        module = getattr(grn, space)
        for name in module.__all__:
            call = getattr(module, name)
            if inspect.isfunction(call) and any("MuData" in str(p.annotation) for p in _parameters(call)):
                found.add(f"{space}.{name}")
    return found


def _parameters(call):
    return inspect.signature(call).parameters.values()


def raw():
    return simulated(1, 120)


def walk(mdata):
    """All of preprocessing."""
    made = mdata.uns["simulation"]
    grn.pp.intersect_cells(mdata)
    grn.pp.bin_peaks(mdata, sizes_of(mdata))
    grn.pp.tss_distance(mdata, made["tss"])
    grn.pp.add_binding(mdata, made["binding"])
    grn.pp.mark_tfs(mdata, sorted({*made["edges"]["source"].astype(str)}))
    grn.pp.split_cells(mdata, val=0.2, seed=0)
    grn.pp.scale(mdata)
    return mdata


def shuffled(mdata, rng):
    """Cells (each modality its own order), genes, peaks and modalities in another order."""
    parts = {
        str(name): mdata[name][rng.permutation(mdata.n_obs), rng.permutation(mdata[name].n_vars)].copy()
        for name in rng.permutation(["rna", "atac"])
    }
    with no_pull():
        out = md.MuData(parts)
    out.obs = mdata.obs.loc[out.obs_names].copy()
    out.uns.update(copied(mdata).uns)
    return out


def stale(mdata, rng):
    """A prepared MuData, both modalities sorted by hand since: its own table has the cells in the order of old."""
    out = copied(mdata)
    cells = rng.permutation(mdata.n_obs)
    with no_pull():
        for name in rng.permutation(["rna", "atac"]):
            out.mod[str(name)] = out[str(name)][cells, rng.permutation(out[str(name)].n_vars)].copy()
    return out


def frame(values, rows, columns):
    values = values.toarray() if sparse.issparse(values) else np.asarray(values)
    out = pd.DataFrame(values, [str(r) for r in rows], [str(c) for c in columns])
    return out.sort_index().sort_index(axis=1)


def rows(table, *keys):
    """A long table by its keys, so that the order of ties, or of rows within rounding, does not matter."""
    keys = [k for k in keys if k in table]
    out = table.astype({c: str for c in table if isinstance(table[c].dtype, pd.CategoricalDtype)})
    return out.sort_values(keys, ignore_index=True)


def prepared(mdata):
    """What preprocessing wrote."""
    rna, atac = mdata["rna"], mdata["atac"]
    windows = range(atac.obsm["windows"].shape[1])
    obs = mdata.obs.assign(cell=mdata.obs_names.astype(str))
    return {
        "pp.intersect_cells": frame(np.ones((rna.n_obs, 1)), rna.obs_names, ["there"]),
        "pp.bin_peaks": frame(atac.obsm["windows"], atac.obs_names, windows),
        "pp.tss_distance": frame(rna.varm["tss_distance"], rna.var_names, windows),
        "pp.add_binding": frame(rna.varm["homer_binding"], rna.var_names, windows),
        "pp.mark_tfs": frame(rna.var[["is_tf"]], rna.var_names, ["is_tf"]),
        "pp.split_cells": rows(obs[["cell", "split"]].reset_index(drop=True), "cell"),
        "pp.scale: cells": frame(atac.obsm["windows_scaled"], atac.obs_names, windows),
        "pp.scale: TFs": frame(rna.layers["scaled"], rna.obs_names, rna.var_names),
    }


def listed(mdata):
    """What ``grn.get`` lists."""
    cube = grn.get.tensor(mdata, sorted(mdata.obs_names)[:5], genes=["Gene12", "Gene30"])
    window, peak = grn.get.windows(mdata), grn.get.peak_tg(mdata)
    apart = pd.DataFrame(grn.get.ranges(mdata).df)
    return {
        "get.ranges": rows(apart.astype({"Chromosome": str}), "Name"),
        "get.windows": rows(window.reset_index(), "name"),
        "get.peak_tg": rows(peak, "peak_id", "target_id", "TSS_dist"),
        "get.window_tg": rows(grn.get.window_tg(mdata), "window_id", "target_id"),
        "get.binding": rows(grn.get.binding(mdata), "source_id", "peak_id"),
        "get.tensor": frame(cube.values.sum(2), cube.tfs, cube.windows),
    }


def potentials(mdata):
    out = {}
    for name, got in grn.tl.potentials(mdata, groupby="cell_type").items():
        out[f"tl.potentials: {name}"] = frame(got.tf_tg, got.tfs, got.genes)
        table = got.scores(level="peak", genes=["Gene12"])
        out[f"tl.potentials: peaks {name}"] = rows(table, "source_id", "peak_id", "target_id")
    return out


def modelled(mdata, model):
    """What is made with a trained model, and what is made of that."""
    rna, truth = mdata["rna"], mdata.uns["simulation"]["edges"]
    axes = (rna.obs_names, rna.var_names)
    out = {}
    grn.tl.predict(mdata, model)
    for layer in ("predicted", "predicted_sd"):
        out[f"tl.predict: {layer}"] = frame(rna.layers[layer], *axes)
    out["tl.predict: genes"] = rows(rna.var[["predicted_from"]].reset_index(names="gene"), "gene")
    for what, asked in {"TF": {"tf": "Tf2"}, "up": {"tf": {"Tf3": 9.0}}}.items():
        table = grn.tl.knockout(mdata, model, groupby="cell_type", key_added="change", **asked)
        out[f"tl.knockout: {what}"] = rows(table, "group", "target")
    out["tl.knockout: cells"] = frame(rna.layers["change"], *axes)
    grn.tl.edges(mdata, model, max_cells=20, max_cres=50)
    for level in ("edge", "triplet"):
        out[f"get.edges: {level}"] = rows(grn.get.edges(mdata, level=level), "group", "source", "target", "cre")
    record = mdata.uns["tilegrn"]["edges"]
    out["tl.edges"] = frame([[float(record["jaccard_top"][0]), record["completeness"]]], ["x"], ["overlap", "error"])
    out |= linked(mdata)
    found = grn.tl.compatibility(model, mdata).to_dict()
    out["tl.compatibility"] = pd.DataFrame({k: [str(v) if k == "reasons" else v] for k, v in found.items()})
    grn.tl.regulons(mdata, min_targets=2)
    out["tl.regulons"] = frame(rna.obsm["tf_activity"], rna.obs_names, mdata.uns["tilegrn"]["regulons"]["tfs"])
    card = grn.tl.scorecard(mdata, baselines=["mean", "ridge", "low_rank", "lightgbm"], n_bootstrap=50)
    out |= of_card(card)
    score = grn.tl.evaluate_network(
        mdata, truth, baselines=["correlation", "motif", "distance", "potential"], min_targets=2, n_boot=50
    )
    return out | of_network(score)


def linked(mdata):
    """Scores of peaks and genes, and weights fitted to made-up answers that depend on places alone."""
    table = grn.tl.links(mdata, groupby="cell_type")
    pairs = grn.get.peak_tg(mdata).astype({"peak_id": str, "target_id": str})
    pairs = pairs.sort_values(["peak_id", "target_id"], ignore_index=True)
    spans = pairs["peak_id"].str.extract(r"^(.+):(\d+)-(\d+)$").set_axis(["chrom", "start", "end"], axis=1)
    pairs = spans.astype({"start": int, "end": int}).assign(gene=pairs["target_id"])
    pairs["regulated"] = (pairs["start"] // 1000 % 3 == 0).astype(int)
    scored = grn.tl.score_pairs(mdata, pairs, groupby="cell_type", group=table["group"].astype(str).min())
    return {
        "tl.links": rows(table, "group", "peak", "target"),
        "tl.score_pairs": pairs.assign(score=scored),
        "tl.fit_pairs": grn.tl.fit_pairs(mdata, pairs, n_boot=5).table,
    }


def of_card(card):
    return {
        "tl.scorecard": card.table.drop(columns="seconds"),
        "tl.scorecard: genes": rows(card.per_gene.reset_index(), "gene"),
    }


def of_network(score):
    return {
        "tl.evaluate_network": score.table,
        "tl.evaluate_network: lead": score.differences,
        "tl.evaluate_network: TFs": rows(score.per_tf, "network", "source"),
        "tl.evaluate_network: signs": pd.DataFrame([score.signs], columns=["share", "n"]),
    }


def drawn(mdata):
    """What figures show that choose, sort or sum."""
    import matplotlib.pyplot as plt

    panels = grn.pl.predicted_vs_observed(mdata, n_genes=3)
    heat = grn.pl.edge_heatmap(mdata, n=6)
    labels = [[t.get_text() for t in ticks] for ticks in (heat.get_yticklabels(), heat.get_xticklabels())]
    mdata["rna"].obsm["X_umap"] = as_csr(mdata["rna"].X, "X")[:, sorted_columns(mdata)].toarray()[:, :2]
    dots = grn.pl.knockout_embedding(mdata, "change", "Gene12").collections[0]
    points = pd.DataFrame(np.column_stack([dots.get_offsets(), dots.get_array()]))
    out = {
        "pl.predicted_vs_observed": pd.DataFrame({"title": [p.get_title() for p in panels]}),
        "pl.predicted_vs_observed: means": pd.DataFrame(panels[0].lines[1].get_xydata()),
        "pl.edge_heatmap": frame(heat.images[0].get_array(), *labels),
        "pl.reliability": pd.DataFrame(grn.pl.reliability(mdata).lines[2].get_xydata()),
        "pl.network": pd.DataFrame({"text": [t.get_text() for t in grn.pl.network(mdata, "Gene12").texts]}),
        "pl.locus": pd.DataFrame({"text": sorted(t.get_text() for t in grn.pl.locus(mdata, "Gene12").texts)}),
        "pl.knockout_embedding": points.sort_values([0, 1, 2], ignore_index=True),
    }
    plt.close("all")
    return out


def sorted_columns(mdata):
    names = mdata["rna"].var_names
    return names.get_indexer(names.sort_values())


def everything(mdata, model):
    """All answers, by the public name that gave them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Depth alone explains")
        warnings.filterwarnings("ignore", message=r".*TFs have fewer than")
        return prepared(mdata) | listed(mdata) | potentials(mdata) | modelled(mdata, model) | drawn(mdata)


def assert_same(got, want, **tolerance):
    assert set(got) == set(want)
    for name, table in want.items():
        try:
            pd.testing.assert_frame_equal(
                got[name], table, check_dtype=False, check_categorical=False, check_names=False, **tolerance
            )
        except AssertionError as err:
            msg = f"{name} depends on order: {err}"
            raise AssertionError(msg) from None
