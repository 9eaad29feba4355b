"""Turn TFs and windows of cells down, differentiably: the ground for gradients, attributions and knock-outs.

A gate of 1 leaves a token as it is, 0 takes it out exactly as if the TF were not expressed or the window closed;
between them everything the network reads of it shrinks: the token, its number in the dense inputs, the accessibility
components, and the cis head. Depths stay.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tilegrn.model.config import ModelConfig
    from tilegrn.model.data.batches import Batch
    from tilegrn.model.prepare.preparation import Preparation

__all__ = ["gated"]


def gated(
    batch: Batch, preparation: Preparation, config: ModelConfig, *, tf_gate: Tensor, window_gate: Tensor | None = None
) -> Batch:
    """Apply gates to a batch; the result depends on them differentiably.

    Parameters
    ----------
    batch
        From :meth:`tilegrn.model.data.batches.BatchMaker.evaluate`.
    preparation, config
        Of the model.
    tf_gate, window_gate
        Shapes of ``batch.tf_token`` (those of padding do not matter) and ``batch.open_window``, values in [0, 1].
        Without ``window_gate`` all that comes from windows stays as it is.
    """
    cells, n_tfs = batch.tf_dense.shape
    tf_there = (batch.tf_token < n_tfs).to(tf_gate.dtype) * tf_gate
    dense_gate = torch.ones(cells, n_tfs + 1, dtype=tf_gate.dtype, device=tf_gate.device)
    dense_gate = dense_gate.scatter(1, batch.tf_token, tf_gate)[:, :n_tfs]
    batch = replace(batch, tf_present=tf_there, tf_value=batch.tf_value * tf_gate, tf_dense=batch.tf_dense * dense_gate)
    if window_gate is None:
        return batch
    return replace(
        batch,
        open_there=batch.open_there * window_gate,
        components=_components(batch, preparation, config, window_gate),
        # In a batch without noise the cis head reads the same open windows in the same order.
        own_value=batch.own_value * window_gate if len(batch.own_value) else batch.own_value,
    )


def _components(batch: Batch, preparation: Preparation, config: ModelConfig, gate: Tensor) -> Tensor:
    """Compute accessibility components of cells whose windows are open to the degree of the gate."""
    if not (config.use_components and config.use_windows) or not len(batch.used):
        return batch.components
    used = batch.used.cpu().numpy()
    found = preparation.components
    cell = _cell_of(batch)
    weight = torch.from_numpy(found.idf[used]).to(gate)[batch.open_window]

    def summed(each: Tensor) -> Tensor:
        return each.new_zeros(len(batch.cells), each.shape[1]).index_add(0, cell, each)

    # The gate enters the norm once, not squared: the same for 0 and 1, and no jump where all windows close together.
    norm = summed((gate * weight.square())[:, None]).clamp_min(1e-16).sqrt()
    raw = summed((gate * weight)[:, None] * torch.from_numpy(found.loadings[used]).to(gate)[batch.open_window])
    if found.guided.shape[2]:
        if batch.part is None:
            msg = "Cells with guided components need their part; make them with cell_data."
            raise ValueError(msg)
        guided = torch.from_numpy(found.guided[:, used]).to(gate)
        each = guided[batch.part[cell], batch.open_window]
        raw = torch.cat([raw, summed((gate * weight)[:, None] * each)], dim=1)
    center = torch.from_numpy(found.center).to(gate)
    scale = torch.from_numpy(found.scale).to(gate)
    return (raw / norm - center) / scale


def _cell_of(batch: Batch) -> Tensor:
    """Cell of each open window."""
    end = torch.cat([batch.open_start[1:], batch.open_start.new_tensor([len(batch.open_window)])])
    return torch.repeat_interleave(torch.arange(len(batch.cells), device=end.device), end - batch.open_start)
