"""Fit the model on the training cells of a MuData."""

from __future__ import annotations

import dataclasses
import logging
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._core.rows import blocks
from tilegrn._core.splits import draw_split, drawn_record
from tilegrn.errors import InputError, StaleError
from tilegrn.tl.training._calibrate import calibrate
from tilegrn.tl.training._cis_choices import with_reach
from tilegrn.tl.training._inputs import cell_data, fit_preparation
from tilegrn.tl.training._source import Source, join_sources, read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn.model.config import ModelConfig
    from tilegrn.model.data.batches import CellData
    from tilegrn.model.fit.fit import FitOptions
    from tilegrn.model.grn_model import GRNModel
    from tilegrn.model.net.network import Network
    from tilegrn.model.prepare.preparation import Preparation, Vocabulary

__all__ = ["train"]


def train(
    mdata: MuData | Sequence[MuData],
    *,
    rna: str = "rna",
    atac: str = "atac",
    layer: str | None = None,
    split: str | None = K.SPLIT,
    sample: str | None = None,
    exclude_chromosomes: Sequence[str] = (),
    n_models: int = 1,
    loss: Literal["poisson", "nb", "mse"] | None = None,
    config: ModelConfig | None = None,
    max_epochs: int | None = None,
    seed: int = 0,
    accelerator: str = "auto",
    devices: int | str | list[int] = 1,
    strategy: str = "auto",
    precision: Any = "32-true",
    logger: Any = False,
    callbacks: Sequence[Any] | None = None,
    progress: bool = True,
) -> GRNModel:
    """Train the transformer to predict genes from TF expression and open windows.

    Only cells marked ``train`` are fitted, scalers and teacher included; ``val`` cells choose among epochs and
    calibrate the spread over networks; ``test`` cells are not read. Without a split column, one is drawn by cells and
    written.

    Parameters
    ----------
    mdata
        Prepared by ``bin_peaks``, ``tss_distance`` and ``add_binding`` (or ``mark_tfs``: then without binding). A list
        trains on several samples of one assembly at once, on the genes that all have.
    rna, atac
        Names of the modalities.
    layer
        Layer of the RNA with the counts; ``X`` by default.
    split
        Column of ``mdata.obs`` with ``train``, ``val`` and ``test``. None trains on every cell, for a model to use on
        other samples: nothing here can then judge it.
    sample
        Column of ``mdata.obs`` with the sample of each cell; it is checked and counted in the record.
    exclude_chromosomes
        Chromosomes whose genes are not trained on, for instance to test on them afterwards; their windows are still
        read.
    n_models
        Networks of different seeds whose predictions are averaged. With several, and validation cells, their spread is
        calibrated: one factor on ``val`` cells brings it to the size of the error beyond counting noise, over genes
        that are no TFs (``spread_factor`` in the record); :func:`predict` applies it.
    loss
        ``"poisson"`` or ``"nb"`` on counts with size factors, ``"mse"`` on log1p; as in ``config`` when None.
    config
        Choices of the parts; by default picked by the size of the data.
    max_epochs, seed
        Epochs (as in ``config`` when None); the seed of everything random.
    accelerator, devices, strategy, precision, logger, callbacks
        Handed to Lightning's ``Trainer``. Evaluation is in fp32 whatever the precision.
    progress
        Show a progress bar.

    Returns
    -------
    The model; ``model.save(folder)`` keeps it. ``mdata.uns["tilegrn"]["train"]`` holds parameters, losses and hashes;
    the model's ``record`` holds the same.

    Raises
    ------
    MissingStepError, StaleError
        If a step is missing or its result no longer fits; the message names the call.
    InputError
        If counts, names or split cannot be used.
    FloatingPointError
        If the loss is not finite.

    Examples
    --------
    >>> model = grn.tl.train(mdata, seed=0, progress=False)
    >>> model.save("model")
    """
    from tilegrn.model.config import default_config
    from tilegrn.model.fit.fit import FitOptions
    from tilegrn.model.grn_model import GRNModel

    many: list[Any] = list(mdata) if isinstance(mdata, (list, tuple)) else [mdata]
    if not many:
        msg = "An empty list of MuData was given; give at least one."
        raise InputError(msg)
    if n_models < 1:
        msg = f"n_models is {n_models}; it must be at least 1."
        raise InputError(msg)
    started = time.monotonic()
    sources = [read_source(m, rna=rna, atac=atac, layer=layer, for_training=True) for m in many]
    labels = [_labels(m, rna, atac, split, seed) for m in many]
    source = join_sources(sources)
    order = check.by_name(source.cells)
    source = source.at_hand().ordered()
    label = np.concatenate([lab for lab, _ in labels])[order]
    fit_rows, val_rows = np.flatnonzero(label == K.TRAIN), np.flatnonzero(label == K.VAL)
    samples = _samples(many, atac=atac, rna=rna, sample=sample)[order]
    targets = _targets(many, source, exclude_chromosomes)
    cfg = config or default_config(
        n_cells=len(fit_rows),
        n_open=_typical_open(source, fit_rows),
        depth=float(np.median(source.depth[fit_rows])) if len(fit_rows) else 0.0,
    )
    if loss is not None:
        cfg = dataclasses.replace(cfg, loss=loss)
    if max_epochs is not None:
        cfg = dataclasses.replace(cfg, max_epochs=max_epochs)
    if source.binding is None and cfg.use_binding:
        _log().info("No binding scores: training without the binding of TFs to windows.")
    cfg = with_reach(source, fit_rows, targets, cfg, seed)
    ranges = _ranges(many, source, fit_rows, layer=layer, rna=rna)
    vocabulary, preparation = fit_preparation(source, fit_rows, targets, cfg, ranges=ranges)
    data = cell_data(source, vocabulary, preparation, cfg, rows=fit_rows, with_counts=True)
    if len(val_rows) > MOST_VAL:
        _log().info("Epochs are judged on %d of %d validation cells.", MOST_VAL, len(val_rows))
        val_rows = np.sort(np.random.default_rng(seed).choice(val_rows, MOST_VAL, replace=False))
    val = cell_data(source, vocabulary, preparation, cfg, rows=val_rows, with_counts=True) if len(val_rows) else None
    options = FitOptions(
        accelerator=accelerator,
        devices=devices,
        strategy=strategy,
        precision=precision,
        logger=logger,
        callbacks=tuple(callbacks or ()),
        progress=progress,
    )
    networks, histories = [], []
    for i in range(n_models):
        if n_models > 1:
            _log().info("Network %d of %d", i + 1, n_models)
        net, history, stopped = _fit_one(source, data, val, vocabulary, preparation, cfg, seed + 1000 * i, options)
        networks.append(net)
        histories.append(history)
        if stopped:  # Ctrl-C asks for the end, not for the next network
            break
    model = GRNModel(vocabulary, cfg, preparation, networks, {})
    spread = calibrate(model, val)
    record = _record(source, vocabulary, cfg, histories, label, samples, seed, time.monotonic() - started) | spread
    record["n_guided"] = int(preparation.guided.shape[2])
    model.record = record
    for m, (lab, drawn) in zip(many, labels, strict=True):
        if drawn and split is not None:
            store.put_split(m, m.mod[rna].obs_names, lab, split, drawn_record(lab, seed))
        store.put_record(m, K.REC_TRAIN, _flat(record))
    return model


MOST_VAL = 4000
"""Most validation cells that choose among epochs."""


def _typical_open(source: Source, rows: NDArray[np.int64]) -> float:
    """Median number of open windows of the cells."""
    if not len(rows):
        return 0.0
    return float(np.median(np.concatenate([np.diff(part.indptr) for _, part in blocks(source.open, rows)])))


def _log() -> logging.Logger:
    return logging.getLogger(__name__)


def _labels(mdata: MuData, rna: str, atac: str, split: str | None, seed: int) -> tuple[NDArray[np.object_], bool]:
    cells = check.paired(mdata, rna, atac)[0].obs_names
    if split is None:
        return np.full(len(cells), K.TRAIN, dtype=object), False
    labels = store.split_labels(mdata, cells, split)
    if labels is not None:
        return labels, False
    return draw_split(cells, seed=seed), True


def _samples(many: list[MuData], *, rna: str, atac: str, sample: str | None) -> NDArray[np.int64]:
    """Give a number to the sample of each of all cells."""
    out = []
    for i, m in enumerate(many):
        cells = check.paired(m, rna, atac)[0].obs_names
        if sample is None:
            out.append(np.full(len(cells), str(i), dtype=object))
        else:
            out.append(np.array([f"{i}:{v}" for v in check.cell_labels(m, sample, rna, atac)], dtype=object))
    return np.unique(np.concatenate(out), return_inverse=True)[1]


def _targets(many: list[MuData], source: Source, exclude: Sequence[str]) -> NDArray[np.int64]:
    """Genes to train on: those that no sample's TSS table puts on an excluded chromosome."""
    if not exclude:
        return np.arange(len(source.genes))
    chroms = {str(c) for c in source.grid.chroms}
    unknown = sorted(set(map(str, exclude)) - chroms)
    if unknown:
        msg = f"exclude_chromosomes names {unknown}, which the assembly does not have."
        raise InputError(msg)
    tables = [store.get_record(m, K.REC_TSS) for m in many]
    held = {str(g) for t in tables for g, c in zip(t["gene"], t["chrom"], strict=True) if str(c) in set(exclude)}
    targets = np.flatnonzero([g not in held for g in source.genes])
    if not len(targets):
        msg = f"No gene is left outside {list(exclude)}."
        raise InputError(msg)
    return targets


def _ranges(
    many: list[MuData], source: Source, train: NDArray[np.int64], *, layer: str | None, rna: str
) -> tuple[pd.Series, NDArray[np.float64]] | None:
    """Ranges that :func:`tilegrn.pp.scale` fitted, if these are the cells, counts and TFs that it fitted them on.

    None where it was not run, and for samples that were each scaled by themselves: they need ranges of all together.
    """
    scaled = [store.has_record(m, K.REC_SCALE) for m in many]
    if not any(scaled):
        return None
    records = [store.get_record(m, K.REC_SCALE) for m, done in zip(many, scaled, strict=True) if done]
    first = many[scaled.index(True)]
    if len(many) > 1 and (not all(scaled) or len({str(r.get("cells")) for r in records}) > 1):
        _log().info("The samples were not scaled alike: ranges are fitted on the training cells of all.")
        return None
    tf_max, window_max = store.scale_ranges(first, rna)
    record = records[0]
    call = f"Run {store.CALLS[K.REC_SCALE]} again"
    if str(record["layer"]) != (layer or ""):
        msg = f"The data were scaled by the layer '{record['layer'] or 'X'}', not by '{layer or 'X'}'. {call}."
        raise StaleError(msg)
    if len(many) == 1 and record["own"] and record["cells"] != store.names_fingerprint(source.cells[train]):
        msg = f"The data were scaled on other training cells than those of the split now. {call}."
        raise StaleError(msg)
    lost = source.genes[source.is_tf & tf_max.reindex(source.genes).isna().to_numpy()]
    if len(lost):
        msg = f"{len(lost)} TFs were marked after the data were scaled, e.g. '{lost[0]}'. {call}."
        raise StaleError(msg)
    return tf_max, window_max


def _fit_one(
    source: Source,
    data: CellData,
    val: CellData | None,
    vocabulary: Vocabulary,
    preparation: Preparation,
    cfg: ModelConfig,
    seed: int,
    options: FitOptions,
) -> tuple[Network, dict[str, list[float]], bool]:
    import torch

    from tilegrn.model.fit.build import build_network, learn_unseen, start_cis, start_from_counts, start_from_teacher
    from tilegrn.model.fit.fit import fit_network
    from tilegrn.model.fit.teacher import fit_teacher

    if data.counts is None:
        msg = "Training needs counts."
        raise InputError(msg)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(data, vocabulary, preparation, _binding(source, vocabulary), cfg)
        teacher = None
        if cfg.teacher is not None and cfg.teacher.weight > 0:
            seen = cfg.n_components if cfg.teacher.use_windows and cfg.use_windows else 0
            context = np.ascontiguousarray(data.components[:, :seen])
            _log().info("Fitting the teacher on %d training cells", data.n_cells)
            teacher = fit_teacher(
                data.counts, data.size_factor, context, cfg.teacher, seed=seed, progress=options.progress
            )
            start_from_teacher(network, teacher)
            rates: Callable[[torch.Tensor], torch.Tensor] = teacher.rates
        else:
            rates = start_from_counts(network, data)
        start_cis(network, data, rates, cfg.cis_length)
        _log().info("Fitting the transformer")
        history, stopped = fit_network(
            network,
            data,
            val,
            teacher=teacher,
            tf_target=preparation.tf_target,
            config=cfg,
            seed=seed,
            options=options,
        )
        learn_unseen(network, data, preparation.distance, _fold_of_genes(vocabulary, preparation))
    return network, history, stopped


def _fold_of_genes(vocabulary: Vocabulary, preparation: Preparation) -> NDArray[np.int64]:
    """Chromosome of each gene, by its first window; -1 for a gene without windows."""
    d = preparation.distance
    out = np.full(d.shape[0], -1, dtype=np.int64)
    has = np.diff(d.indptr) > 0
    first = vocabulary.windows[d.indices[d.indptr[:-1][has]]]
    out[has] = vocabulary.grid.chrom_of(first)
    return out


def _binding(source: Source, vocabulary: Vocabulary) -> Any:
    """TFs x model windows binding scores, or None."""
    if source.binding is None:
        return None
    place = {g: i for i, g in enumerate(source.genes)}
    rows = [place[t] for t in vocabulary.tfs]
    at = np.searchsorted(source.windows, vocabulary.windows)
    return source.binding[rows][:, at]


def _record(
    source: Source,
    vocabulary: Vocabulary,
    cfg: ModelConfig,
    histories: list[dict[str, list[float]]],
    label: NDArray[np.object_],
    samples: NDArray[np.int64],
    seed: int,
    seconds: float,
) -> dict[str, Any]:
    return {
        "config": cfg.to_dict(),
        "seed": int(seed),
        "n_models": len(histories),
        "n_train": int((label == K.TRAIN).sum()),
        "n_val": int((label == K.VAL).sum()),
        "n_test": int((label == K.TEST).sum()),
        "n_samples": len(np.unique(samples)),
        "n_genes": len(vocabulary.genes),
        "n_tfs": len(vocabulary.tfs),
        "n_windows": len(vocabulary.windows),
        "grid": vocabulary.grid.fingerprint,
        "input_sha256": source.hash,
        "seconds": round(seconds, 1),
        "versions": {p: version(p) for p in ("tilegrn", "torch", "lightning", "numpy", "scipy")},
        "history": histories,
    }


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """Bring a record to what h5mu keeps: arrays, strings, numbers."""
    import json

    out: dict[str, Any] = {k: v for k, v in record.items() if isinstance(v, (int, float, str))}
    out["config"] = json.dumps(record["config"])
    out["versions"] = json.dumps(record["versions"])
    for i, history in enumerate(record["history"]):
        for name, values in history.items():
            out[f"{name}_{i}"] = np.asarray(values, dtype=np.float64)
    return out
