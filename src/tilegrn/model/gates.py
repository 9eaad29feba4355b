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
    from tilegrn.model.batches import Batch
    from tilegrn.model.config import ModelConfig
    from tilegrn.model.preparation import Preparation

__all__ = ["gated"]


def gated(
    batch: Batch, preparation: Preparation, config: ModelConfig, *, tf_gate: Tensor, window_gate: Tensor | None = None
) -> Batch:
    """Apply gates to a batch; the result depends on them differentiably.

    Parameters
    ----------
    batch
        From :meth:`tilegrn.model.batches.BatchMaker.evaluate`. Cells with more open windows than ``config.max_windows``
        are thinned there; to gate windows, raise it so that every window has a token.
    preparation, config
        Of the model.
    tf_gate, window_gate
        Shapes of ``batch.tf_token`` and ``batch.window_token``, values in [0, 1]; those of padding do not matter.
        Without ``window_gate`` all that comes from windows stays as it is, thinned or not.
    """
    cells, n_tfs = batch.tf_dense.shape
    tf_there = (batch.tf_token < n_tfs).to(tf_gate.dtype) * tf_gate
    dense_gate = torch.ones(cells, n_tfs + 1, dtype=tf_gate.dtype, device=tf_gate.device)
    dense_gate = dense_gate.scatter(1, batch.tf_token, tf_gate)[:, :n_tfs]
    batch = replace(batch, tf_present=tf_there, tf_value=batch.tf_value * tf_gate, tf_dense=batch.tf_dense * dense_gate)
    if window_gate is None:
        return batch
    window_there = (batch.window_token < len(batch.used)).to(window_gate.dtype) * window_gate
    return replace(
        batch,
        window_present=window_there,
        window_value=batch.window_value * window_gate,
        components=_components(batch, preparation, config, window_there),
        cis_value=batch.cis_value * _cis_gate(batch, window_gate),
    )


def _components(batch: Batch, preparation: Preparation, config: ModelConfig, gate: Tensor) -> Tensor:
    """Compute accessibility components of cells whose windows are open to the degree of the gate."""
    if not (config.use_components and config.use_windows) or not len(batch.used):
        return batch.components
    used = batch.used.cpu().numpy()
    found = preparation.components
    idf = torch.from_numpy(found.idf[used]).to(gate)
    loadings = torch.from_numpy(found.loadings[used]).to(gate)
    token = batch.window_token.clamp_max(len(used) - 1)
    weight = idf[token]
    # The gate enters the norm once, not squared: the same for 0 and 1, and no jump where all windows close together.
    norm = (gate * weight.square()).sum(1, keepdim=True).clamp_min(1e-16).sqrt()
    each = loadings[token]
    if found.guided.shape[2]:
        if batch.part is None:
            msg = "Cells with guided components need their part; make them with cell_data."
            raise ValueError(msg)
        guided = torch.from_numpy(found.guided[:, used]).to(gate)
        each = torch.cat([each, guided[batch.part[:, None], token]], dim=2)
    raw = torch.einsum("cn,cnk->ck", gate * weight / norm, each)
    center = torch.from_numpy(found.center).to(gate)
    scale = torch.from_numpy(found.scale).to(gate)
    return (raw - center) / scale


def _cis_gate(batch: Batch, window_gate: Tensor) -> Tensor:
    """Gate of each open window of the cis head; 1 where thinning left it without a token."""
    if not len(batch.cis_cell):
        return torch.ones_like(batch.cis_value)
    cell, place = torch.nonzero(batch.window_token < len(batch.used), as_tuple=True)
    span = int(torch.cat([batch.used, batch.cis_used]).max()) + 1
    key = cell * span + batch.used[batch.window_token[cell, place]]
    order = torch.argsort(key)
    wanted = batch.cis_cell * span + batch.cis_used[batch.cis_window]
    at = torch.searchsorted(key[order], wanted).clamp_max(len(key) - 1)
    found = key[order][at] == wanted
    gate = window_gate[cell[order[at]], place[order[at]]]
    return torch.where(found, gate, torch.ones_like(gate))
