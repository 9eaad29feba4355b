"""Draw every public plot once, on simulated cells, into docs/_static/gallery.

    python tools/draw_gallery.py [NAME ...]

Pictures have the default sizes, at 150 dots an inch and 256 colours, so that each stays below 60 kB. With names, only
these are written.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import tilegrn as grn

if TYPE_CHECKING:
    from collections.abc import Callable

OUT = Path(__file__).resolve().parents[1] / "docs" / "_static" / "gallery"
CELLS, GENES, PEAKS, TFS = 1200, 300, 1200, 24


def prepared(folder: Path) -> tuple[Any, Any]:
    """Take simulated cells through all steps, and give them cell-type colours and an embedding; also the model."""
    mdata = grn.datasets.simulate(CELLS, GENES, PEAKS, n_tfs=TFS, seed=0, folder=folder)
    grn.pp.intersect_cells(mdata)
    grn.pp.bin_peaks(mdata, folder / "genome.chrom.sizes")
    grn.pp.tss_distance(mdata, folder / "tss.bed")
    grn.pp.homer_binding(mdata, folder / "genome.fa", folder / "motifs.motif")
    grn.pp.split_cells(mdata, "sample", seed=0)
    grn.pp.scale(mdata)
    model = grn.tl.train(mdata, seed=0, n_models=3, max_epochs=8, progress=False)
    grn.tl.predict(mdata, model)
    grn.tl.edges(mdata, model)
    mdata["rna"].uns["cell_type_colors"] = ["#332288", "#117733", "#ddaa33", "#cc6677", "#88ccee"]
    grn.tl.scorecard(mdata, groupby="cell_type", min_group_cells=20, n_bootstrap=500)
    import scanpy as sc

    shown = mdata["rna"].copy()
    sc.pp.normalize_total(shown)
    sc.pp.log1p(shown)
    sc.pp.pca(shown, n_comps=10, random_state=0)
    sc.pp.neighbors(shown, random_state=0)
    sc.tl.umap(shown, random_state=0)
    mdata["rna"].obsm["X_umap"] = shown.obsm["X_umap"]
    return mdata, model


def plots(mdata: Any, model: Any, folder: Path) -> dict[str, Callable[[], Any]]:
    """Each picture's name, and what draws it."""
    best = grn.get.edges(mdata).iloc[0]
    tf, tg = str(best["source"]), str(best["target"])
    knocked = grn.tl.knockout(mdata, model, tf, key_added="knocked")
    links = grn.tl.links(mdata)
    motif = next(m for m in grn.io.read_motifs(folder / "motifs.motif") if m.name.startswith(tf))
    return {
        "scorecard": lambda: grn.pl.scorecard(mdata),
        "scorecard_groups": lambda: grn.pl.scorecard(mdata, kind="groups"),
        "training": lambda: grn.pl.training(model),
        "predicted_vs_observed": lambda: grn.pl.predicted_vs_observed(mdata, n_genes=3),
        "predicted_vs_observed_groups": lambda: grn.pl.predicted_vs_observed(mdata, n_genes=3, groupby="cell_type"),
        "reliability": lambda: grn.pl.reliability(mdata),
        "network": lambda: grn.pl.network(mdata, tf, n=10),
        "edge_heatmap": lambda: grn.pl.edge_heatmap(mdata, n=15),
        "stability": lambda: grn.pl.stability(mdata),
        "locus": lambda: grn.pl.locus(mdata, tg),
        "locus_links": lambda: grn.pl.locus(mdata, tg, links=links),
        "knockout": lambda: grn.pl.knockout(knocked),
        "knockout_embedding": lambda: grn.pl.knockout_embedding(mdata, "knocked", tg),
        "motif_logo": lambda: grn.pl.motif_logo(motif),
        "motif_hits": lambda: grn.pl.motif_hits(
            mdata, gene=tg, fasta=folder / "genome.fa", motifs=folder / "motifs.motif"
        ),
    }


def save(drawn: Any, path: Path) -> None:
    """Write a figure as a PNG of few colours."""
    figure = np.ravel(np.asarray(drawn, dtype=object))[0].figure
    figure.savefig(path, dpi=150)
    plt.close(figure)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def main(wanted: list[str]) -> None:
    """Draw what is wanted, all by default."""
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mdata, model = prepared(folder)
        for picture, draw in plots(mdata, model, folder).items():
            if not wanted or picture in wanted:
                save(draw(), OUT / f"{picture}.png")
        grn.pl.report(mdata, model, folder / "report.html", title="tilegrn: simulated cells")
        if not wanted or "report" in wanted:
            sys.stdout.write(f"report.html: {(folder / 'report.html').stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1:])
