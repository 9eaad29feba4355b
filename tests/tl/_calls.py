"""Every public call on data of the user, and what it says that it writes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import tilegrn as grn
from tests.tl._everything import QUICK, raw, walk
from tests.tl._shapes import SHAPES
from tests.tl._snapshot import of_files, of_mudata, of_process, of_value

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.tl._shapes import Shape

GRID, CELLS = "uns[tilegrn]/grid", ("atac.obsm[windows]", "atac.obs[[]window_total[]]")


@dataclass
class Given:
    """What calls are given beside the MuData."""

    simulation: dict[str, Any]
    model: Any
    folder: Path

    def tables(self) -> dict[str, Any]:
        """The arguments that must stay as they are."""
        named = {k: self.simulation[k] for k in ("tss", "binding", "edges")}
        return named | {"pairs": self.pairs()} | {"weights": self.weights()}

    def sizes(self) -> dict[str, int]:
        """Chromosome lengths."""
        return {str(k): int(v) for k, v in self.simulation["chrom_sizes"].items()}

    def weights(self) -> str:
        """All numbers of the model, as one hash."""
        state = [v for net in self.model.networks for v in net.state_dict().values()]
        return of_value([v.numpy() for v in state]) + of_value(self.model.record.get("seed"))

    def pairs(self) -> pd.DataFrame:
        """Pairs of elements and genes, made once."""
        if not hasattr(self, "_pairs"):
            rng = np.random.default_rng(0)
            tss = self.simulation["tss"]
            tss = tss.iloc[rng.integers(0, len(tss), 300)]
            start = np.maximum(tss["pos"].to_numpy() + rng.integers(-200_000, 200_000, 300), 0)
            self._pairs = pd.DataFrame(
                {"chrom": tss["chrom"].to_numpy(), "start": start, "end": start + 500, "gene": tss["gene"].to_numpy()}
            ).assign(regulated=rng.integers(0, 2, 300))
        return self._pairs


@dataclass
class Call:
    """A public call; ``writes`` are patterns of the slots (with the usual names of modalities) that it may change."""

    name: str
    run: Callable[..., Any]
    writes: tuple[str, ...] = ()
    layer: bool = False
    copies: bool = False


def _uns(*steps: str) -> tuple[str, ...]:
    return tuple(f"uns[[]tilegrn]/{step}" for step in (*steps, "schema"))


_OBS = ("obs[[]split]", "uns[[]tilegrn]/split", "uns[[]tilegrn]/schema")
_BINDING = ("atac.varm[[]homer_binding*]", "rna.varm[[]homer_binding]", "rna.var[[]is_tf]", *_uns("binding", "tfs"))

CALLS = [
    Call(
        "pp.intersect_cells",
        lambda m, g, **k: grn.pp.intersect_cells(m, **k),
        ("atac.X", "atac.obs*", "atac.layers*"),
        copies=True,
    ),
    Call(
        "pp.bin_peaks",
        lambda m, g, **k: grn.pp.bin_peaks(m, g.sizes(), **k),
        ("atac.varm[[]windows]", "atac.obsm[[]windows]", "atac.obs[[]window_total]", *_uns("grid")),
        copies=True,
    ),
    Call(
        "pp.tss_distance",
        lambda m, g, **k: grn.pp.tss_distance(m, g.simulation["tss"], **k),
        ("rna.varm[[]tss_distance]", *_uns("tss")),
        copies=True,
    ),
    Call(
        "pp.homer_binding",
        lambda m, g, **k: grn.pp.homer_binding(m, g.folder / "genome.fa", g.folder / "motifs.motif", **k),
        _BINDING,
        copies=True,
    ),
    Call(
        "pp.add_binding",
        lambda m, g, **k: grn.pp.add_binding(m, g.simulation["binding"], **k),
        _BINDING,
        copies=True,
    ),
    Call(
        "pp.mark_tfs",
        lambda m, g, **k: grn.pp.mark_tfs(
            m, sorted({*g.simulation["edges"]["source"].astype(str)}), **{n: v for n, v in k.items() if n != "atac"}
        ),
        ("rna.var[[]is_tf]", *_uns("tfs")),
        copies=True,
    ),
    Call("pp.split_cells", lambda m, g, **k: grn.pp.split_cells(m, val=0.2, seed=0, **k), _OBS, copies=True),
    Call(
        "pp.scale",
        lambda m, g, **k: grn.pp.scale(m, **k),
        ("atac.obsm[[]windows_scaled]", "rna.layers[[]scaled]", "rna.var[[]scale_max]", *_uns("scale")),
        layer=True,
        copies=True,
    ),
    Call("tl.compatibility", lambda m, g, **k: grn.tl.compatibility(g.model, m, **k), layer=True),
    Call("tl.train", lambda m, g, **k: grn.tl.train(m, **QUICK, **k), _uns("train"), layer=True),
    Call("tl.potentials", lambda m, g, **k: grn.tl.potentials(m, groupby="cell_type", **k), layer=True),
    Call("get.windows", lambda m, g, **k: grn.get.windows(m, atac=k.get("atac", "atac"))),
    Call("get.peak_tg", lambda m, g, **k: grn.get.peak_tg(m, **k)),
    Call("get.ranges", lambda m, g, **k: grn.get.ranges(m, atac=k.get("atac", "atac"))),
    Call("get.window_tg", lambda m, g, **k: grn.get.window_tg(m, rna=k.get("rna", "rna"))),
    Call("get.binding", lambda m, g, **k: grn.get.binding(m, atac=k.get("atac", "atac"))),
    Call("get.tensor", lambda m, g, **k: grn.get.tensor(m, list(m.obs_names[:3]), genes=["Gene12"], **k), layer=True),
    Call(
        "tl.predict",
        lambda m, g, **k: grn.tl.predict(m, g.model, **k),
        ("rna.layers[[]predicted*]", "rna.var[[]predict*]", *_uns("predict")),
        layer=True,
        copies=True,
    ),
    Call(
        "tl.predict_file",
        lambda m, g, **k: grn.tl.predict_file(m, g.model, g.folder / "made.h5ad", overwrite=True, **k),
        layer=True,
    ),
    Call(
        "tl.scorecard",
        lambda m, g, **k: grn.tl.scorecard(m, baselines=["mean", "ridge"], n_bootstrap=20, **k),
        _uns("scorecard"),
        layer=True,
    ),
    Call(
        "tl.knockout",
        lambda m, g, **k: grn.tl.knockout(m, g.model, "Tf2", groupby="cell_type", key_added="change", **k),
        ("rna.layers[[]change]", *_uns("knockout*")),
        layer=True,
    ),
    Call(
        "tl.edges",
        lambda m, g, **k: grn.tl.edges(m, g.model, max_cells=20, max_cres=20, **k),
        _uns("edges", "triplets"),
        layer=True,
        copies=True,
    ),
    Call("get.edges", lambda m, g, **k: grn.get.edges(m)),
    Call(
        "tl.regulons",
        lambda m, g, **k: grn.tl.regulons(m, min_targets=2, **{n: v for n, v in k.items() if n != "atac"}),
        ("rna.obsm[[]tf_activity]", *_uns("regulons")),
        layer=True,
        copies=True,
    ),
    Call(
        "tl.evaluate_network",
        lambda m, g, **k: grn.tl.evaluate_network(
            m, g.simulation["edges"], baselines=["correlation", "distance"], min_targets=2, n_boot=10, **k
        ),
        layer=True,
    ),
    Call("tl.links", lambda m, g, **k: grn.tl.links(m, groupby="cell_type", **k), layer=True),
    Call("tl.score_pairs", lambda m, g, **k: grn.tl.score_pairs(m, g.pairs(), **k), layer=True),
    Call("tl.fit_pairs", lambda m, g, **k: grn.tl.fit_pairs(m, g.pairs(), n_boot=5, **k), layer=True),
    Call(
        "pl.predicted_vs_observed",
        lambda m, g, **k: grn.pl.predicted_vs_observed(m, n_genes=2, **_rna(k)),
        layer=True,
    ),
    Call("pl.reliability", lambda m, g, **k: grn.pl.reliability(m, **_rna(k)), layer=True),
    Call("pl.edge_heatmap", lambda m, g, **k: grn.pl.edge_heatmap(m, n=5)),
    Call("pl.network", lambda m, g, **k: grn.pl.network(m, _target(m))),
    Call("pl.locus", lambda m, g, **k: grn.pl.locus(m, _target(m), atac=k.get("atac", "atac"))),
    Call("pl.stability", lambda m, g, **k: grn.pl.stability(m)),
    Call("pl.training", lambda m, g, **k: grn.pl.training(m)),
    Call("pl.scorecard", lambda m, g, **k: grn.pl.scorecard(m)),
    Call("pl.knockout_embedding", lambda m, g, **k: _embedding(m, k), ("rna.obsm[[]X_umap]",)),
    Call(
        "pl.motif_hits",
        lambda m, g, **k: grn.pl.motif_hits(
            m, gene="Gene12", fasta=g.folder / "genome.fa", motifs=g.folder / "motifs.motif", **k
        ),
    ),
    Call(
        "pl.report",
        lambda m, g, **k: grn.pl.report(m, g.model, g.folder / "made.html", **k),
        layer=True,
    ),
    Call("io.provenance", lambda m, g, **k: grn.io.provenance(m)),
    Call("io.write_h5mu", lambda m, g, **k: grn.io.write_h5mu(g.folder / "made.h5mu", m)),
    Call("io.write_layer", lambda m, g, **k: _added(m, g, k)),
    Call("io.write_zarr", lambda m, g, **k: grn.io.write_zarr(g.folder / "made.zarr", m)),
    Call(
        "io.write_homer_peaks",
        lambda m, g, **k: grn.io.write_homer_peaks(m, g.folder / "made.bed", atac=k.get("atac", "atac")),
    ),
]


def _rna(k: dict[str, Any]) -> dict[str, Any]:
    return {name: v for name, v in k.items() if name != "atac"}


def _target(mdata: Any) -> str:
    return str(grn.get.edges(mdata)["target"].iloc[0])


def _added(mdata: Any, given: Given, k: dict[str, Any]) -> None:
    """Add a layer to the file that the call before has made."""
    grn.io.write_layer(given.folder / "made.h5mu", mdata, modality=k.get("rna", "rna"), overwrite=True)


def _embedding(mdata: Any, k: dict[str, Any]) -> Any:
    """Draw on coordinates that any data have."""
    rna = mdata[k.get("rna", "rna")]
    rna.obsm["X_umap"] = np.zeros((rna.n_obs, 2))
    return grn.pl.knockout_embedding(mdata, "change", "Gene12", rna=k.get("rna", "rna"))


def trespasses(call: Call, shape: Shape, given: Given, watched: tuple[Path, ...]) -> list[str]:
    """Run a call and list what it changed without having said so."""
    keywords = dict(shape.names) | ({"layer": shape.layer} if call.layer and shape.layer else {})
    found = []
    if call.copies and not shape.mdata.isbacked:
        found += _changed(call, shape, given, watched, keywords | {"copy": True}, ())
    return found + _changed(call, shape, given, watched, keywords, call.writes)


def _state(shape: Shape, given: Given, watched: tuple[Path, ...]) -> dict[str, str]:
    back = {name: usual for usual, name in shape.names.items()}
    slots = {}
    for path, value in of_mudata(shape.mdata, layout=not shape.view).items():
        name, dot, rest = path.partition(".")
        slots[f"{back.get(name, name)}{dot}{rest}"] = value
    parent = {} if shape.parent is None else of_mudata(shape.parent)
    files = {path: value for path, value in of_files(*watched).items() if "made" not in path}
    return (
        slots
        | {f"parent: {k}": v for k, v in parent.items()}
        | {f"argument: {k}": of_value(v) for k, v in given.tables().items()}
        | {f"file: {k}": v for k, v in files.items()}
        | {f"process: {k}": v for k, v in of_process().items()}
    )


def _changed(
    call: Call,
    shape: Shape,
    given: Given,
    watched: tuple[Path, ...],
    keywords: dict[str, Any],
    writes: tuple[str, ...],
) -> list[str]:
    before = _state(shape, given, watched)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call.run(shape.mdata, given, **keywords)
    after = _state(shape, given, watched)
    where = f"{call.name}{'(copy=True)' if keywords.get('copy') else ''}"
    different = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    return [
        f"{where}: {k} ({str(before.get(k))[:60]} -> {str(after.get(k))[:60]})"
        for k in different
        if not any(fnmatchcase(k, pattern) for pattern in writes)
    ]


def given_in(folder: Path) -> tuple[Any, Given]:
    """Simulate cells into a folder, with what calls need beside them and a model of them."""
    like = grn.datasets.simulate(120, 40, 150, n_tfs=8, n_chroms=2, seed=1, folder=folder)
    model = grn.tl.train(walk(raw()), **QUICK)
    return like, Given(dict(like.uns["simulation"]), model, folder)


def all_trespasses(name: str, like: Any, given: Given, folder: Path) -> list[str]:
    """Run all calls on one shape of data."""
    import matplotlib.pyplot as plt

    shape = SHAPES[name](like, folder)
    found = []
    for call in CALLS:
        found += trespasses(call, shape, given, (given.folder,))
        plt.close("all")
    return found


def warmed() -> None:
    """Let libraries set up what they set up once, whoever calls them first."""
    import matplotlib as mpl
    import numba
    import torch

    mpl.use("Agg")
    numba.get_num_threads()
    torch.set_num_threads(1)
