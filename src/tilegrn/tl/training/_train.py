"""Fit the model on the training cells of a MuData."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tilegrn._core import check, store
from tilegrn._core import keys as K
from tilegrn._core.splits import drawn_record
from tilegrn._core.torch_there import needs_torch
from tilegrn.errors import InputError
from tilegrn.tl.training._calibrate import calibrate
from tilegrn.tl.training._chosen import labels_of, ranges_of, samples_of, targets_of, typical_open
from tilegrn.tl.training._cis_choices import with_reach
from tilegrn.tl.training._inputs import cell_data, fit_preparation
from tilegrn.tl.training._memory import check_memory
from tilegrn.tl.training._resume import Survival, named_step, training_of
from tilegrn.tl.training._source import Source, join_sources, read_source
from tilegrn.tl.training._train_record import flat, train_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mudata import MuData
    from numpy.typing import NDArray

    from tilegrn.model.config import ModelConfig
    from tilegrn.model.data.batches import CellData
    from tilegrn.model.fit.checkpoints import Checkpoints
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
    num_nodes: int = 1,
    strategy: str = "auto",
    precision: Any = "32-true",
    logger: Any = False,
    callbacks: Sequence[Any] | None = None,
    progress: bool = True,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
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
    accelerator, devices, num_nodes, strategy, precision, logger, callbacks
        Handed to Lightning's ``Trainer``. Evaluation is in fp32 whatever the precision.
    progress
        Show a progress bar.
    checkpoint
        Folder in which the training survives; made if absent. The same call goes on from what it finds there, to the
        very weights of a training that nothing disturbed (on the same machine with the same number of threads, on the
        CPU). It holds the last two states and that of the best epoch (of networks that are done, of several: their
        weights), and after the end nothing but ``model``, which the same call returns at once. A damaged state is named
        in a warning and the one before it taken. Of several processes the first writes.
    checkpoint_every
        Steps between states, beside those at the end of each epoch. None: when a minute has passed since the last, and
        at the end of an epoch unless writing the last one took more than a twentieth of the time since.

    Returns
    -------
    The model; ``model.save(folder)`` keeps it. ``mdata.uns["tilegrn"]["train"]`` holds parameters, losses and hashes;
    the model's ``record`` holds the same.

    Notes
    -----
    The first Ctrl-C lets the step be finished, and the best so far is returned (``record["interrupted"]``). SIGTERM
    lets the step be finished, and ends the process with status 143. Both leave the state in ``checkpoint``. A second
    signal ends the training at once.

    How much memory the training will take is logged before it starts, with a warning where less is free.

    Raises
    ------
    MissingStepError, StaleError
        If a step is missing or its result no longer fits; the message names the call. So if ``checkpoint`` is of
        another training.
    InputError
        If counts, names or split cannot be used, the folder ``checkpoint`` holds something else or nothing intact, or
        the training needs far more memory than there is.
    ToolError
        If torch or lightning is not installed.
    FloatingPointError
        If the loss or the gradient is not finite; the message names epoch, step and cells. Nothing is written then, and
        states kept before stay.

    Examples
    --------
    >>> model = grn.tl.train(mdata, seed=0, progress=False)
    >>> model.save("model")
    """
    needs_torch("grn.tl.train")
    from tilegrn.model.config import default_config
    from tilegrn.model.fit.fit import FitOptions
    from tilegrn.model.fit.watch import NotFiniteError
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
    labels = [labels_of(m, rna, atac, split, seed) for m in many]
    source = join_sources(sources)
    order = check.by_name(source.cells)
    source = source.at_hand().ordered()
    label = np.concatenate([lab for lab, _ in labels])[order]
    fit_rows, val_rows = np.flatnonzero(label == K.TRAIN), np.flatnonzero(label == K.VAL)
    samples = samples_of(many, atac=atac, rna=rna, sample=sample)[order]
    targets = targets_of(many, source, exclude_chromosomes)
    cfg = config or default_config(
        n_cells=len(fit_rows),
        n_open=typical_open(source, fit_rows),
        depth=float(np.median(source.depth[fit_rows])) if len(fit_rows) else 0.0,
    )
    if loss is not None:
        cfg = dataclasses.replace(cfg, loss=loss)
    if max_epochs is not None:
        cfg = dataclasses.replace(cfg, max_epochs=max_epochs)
    if source.binding is None and cfg.use_binding:
        _log().info("No binding scores: training without the binding of TFs to windows.")
    ranges = ranges_of(many, source, fit_rows, layer=layer, rna=rna)
    data_hash = source.hash
    kept, model = None, None
    if checkpoint is not None:
        choices: dict[str, Any] = {"seed": seed, "n_models": n_models, "precision": str(precision)}
        what = training_of(source, fit_rows, val_rows, targets, ranges, cfg, data_hash=data_hash, **choices)
        kept = Survival.open(checkpoint, what, checkpoint_every)
        model = kept.model()
    if model is not None:
        _write(many, labels, model, rna=rna, split=split, seed=seed)
        return model
    check_memory(source, len(fit_rows) + min(len(val_rows), MOST_VAL), len(targets), cfg, saving=kept is not None)
    cfg = with_reach(source, fit_rows, targets, cfg, seed)
    vocabulary, preparation = fit_preparation(source, fit_rows, targets, cfg, ranges=ranges)
    data = cell_data(source, vocabulary, preparation, cfg, rows=fit_rows, with_counts=True)
    if len(val_rows) > MOST_VAL:
        _log().info("Epochs are judged on %d of %d validation cells.", MOST_VAL, len(val_rows))
        val_rows = np.sort(np.random.default_rng(seed).choice(val_rows, MOST_VAL, replace=False))
    val = cell_data(source, vocabulary, preparation, cfg, rows=val_rows, with_counts=True) if len(val_rows) else None
    options = FitOptions(
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        strategy=strategy,
        precision=precision,
        logger=logger,
        callbacks=tuple(callbacks or ()),
        progress=progress,
    )
    networks, histories, stopped = [], [], False
    with contextlib.nullcontext() if kept is None else kept.alone():
        for i in range(n_models):
            if n_models > 1:
                _log().info("Network %d of %d", i + 1, n_models)
            place = None if kept is None else kept.network(i)
            try:
                net, history, stopped = _fit_one(
                    source, data, val, vocabulary, preparation, cfg, seed + 1000 * i, options, place
                )
            except NotFiniteError as error:
                msg = named_step(error, data, source.cells[fit_rows], vocabulary.genes)
                raise FloatingPointError(msg) from error
            networks.append(net)
            histories.append(history)
            if stopped:  # Ctrl-C asks for the end, not for the next network
                break
    model = GRNModel(vocabulary, cfg, preparation, networks, {})
    spread = calibrate(model, val)
    seconds = time.monotonic() - started
    record = train_record(
        vocabulary, cfg, histories, label, samples, seed, seconds, data_hash=data_hash, interrupted=stopped
    )
    record["n_guided"] = int(preparation.guided.shape[2])
    model.record = record | spread
    if kept is not None and not stopped:
        kept.end(model)
    _write(many, labels, model, rna=rna, split=split, seed=seed)
    return model


def _write(
    many: list[MuData],
    labels: list[tuple[NDArray[np.object_], bool]],
    model: GRNModel,
    *,
    rna: str,
    split: str | None,
    seed: int,
) -> None:
    """Leave the record in each MuData, and the split where one was drawn."""
    for m, (lab, drawn) in zip(many, labels, strict=True):
        if drawn and split is not None:
            store.put_split(m, m.mod[rna].obs_names, lab, split, drawn_record(lab, seed))
        store.put_record(m, K.REC_TRAIN, flat(model.record))


MOST_VAL = 4000
"""Most validation cells that choose among epochs."""


def _log() -> logging.Logger:
    return logging.getLogger(__name__)


def _fit_one(
    source: Source,
    data: CellData,
    val: CellData | None,
    vocabulary: Vocabulary,
    preparation: Preparation,
    cfg: ModelConfig,
    seed: int,
    options: FitOptions,
    checkpoints: Checkpoints | None,
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
        done = None if checkpoints is None else checkpoints.finished()
        if done is not None:
            return network.with_own(done["weights"]), done["history"], False
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
            checkpoints=checkpoints,
        )
        learn_unseen(network, data, preparation.distance, _fold_of_genes(vocabulary, preparation))
        if checkpoints is not None and not stopped:
            checkpoints.finish(network.own(), history)
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
