"""The network: the state of a cell from its TFs and open windows, then rates of genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tilegrn.model.net.cis import CisHead, CisSide, WindowMoments
from tilegrn.model.net.context import CellContext

if TYPE_CHECKING:
    from tilegrn.model.config import ModelConfig
    from tilegrn.model.data.batches import Batch
    from tilegrn.model.data.pairs import PairLists

__all__ = ["GeneSide", "Network"]


@dataclass(frozen=True, eq=False)
class GeneSide:
    """What the network needs of a set of genes: parameters of known ones, or predictions for unseen ones.

    Attributes
    ----------
    offset
        Genes: log rate of an average cell.
    loadings
        Genes x rank.
    cis
        What the cis head needs of them; None without one.
    """

    offset: Tensor
    loadings: Tensor
    cis: CisSide | None = None

    def take(self, genes: Tensor) -> GeneSide:
        """Return some genes."""
        return GeneSide(self.offset[genes], self.loadings[genes], None if self.cis is None else self.cis.take(genes))


class Network(nn.Module):
    """Log rates of genes at size factor 1.

    Parameters
    ----------
    n_tfs, n_components
        Numbers of TFs and of accessibility components.
    log_mean
        Genes: log mean rate over the training cells.
    loadings
        Windows x features, standardised.
    features
        Genes x features, standardised: pooled features of the windows around each gene.
    pairs, moments
        Window-gene pairs within reach, and what to expect of windows, for the cis head.
    binding
        CSR over windows of the TFs that bind: start (windows + 1), TF numbers, scores; or None.
    config
        Choices.
    """

    log_mean: Tensor
    features: Tensor
    unseen_map: Tensor
    window_states: Tensor

    SHARED = (
        *("log_mean", "features", "context.loadings"),
        *(f"cis.{name}" for name in ("mean", "square", "bind_start", "bind_tf", "bind_score")),
    )
    """Tensors that all networks of a model have in common."""

    def __init__(
        self,
        *,
        n_tfs: int,
        n_components: int,
        log_mean: Tensor,
        loadings: Tensor,
        features: Tensor,
        pairs: PairLists,
        moments: WindowMoments,
        binding: tuple[Tensor, Tensor, Tensor] | None,
        config: ModelConfig,
    ) -> None:
        super().__init__()
        self.config = config
        self.context = CellContext(n_tfs, loadings, n_components, config)
        n_genes = len(log_mean)
        self.register_buffer("log_mean", log_mean)
        self.register_buffer("features", features)
        n_pooled = (config.rank + 1) * len(config.pooling_lengths)
        self.register_buffer("window_states", torch.zeros(loadings.shape[0], config.rank))
        self.register_buffer("unseen_map", torch.zeros(n_pooled + 1, config.rank + 1))
        self.gene_bias = nn.Parameter(torch.zeros(n_genes))
        self.gene_loadings = nn.Parameter(torch.randn(n_genes, config.rank) * 0.05)
        self.log_dispersion = nn.Parameter(torch.zeros(n_genes)) if config.loss == "nb" else None
        self.cis = CisHead(n_tfs, features.shape[1], pairs, moments, binding, config) if config.use_cis else None

    def own(self) -> dict[str, Tensor]:
        """Return the tensors that tell this network from others of its model."""
        return {k: v for k, v in self.state_dict().items() if k not in self.SHARED}

    def with_own(self, tensors: dict[str, Tensor]) -> Network:
        """Take such tensors over, and return the network ready to predict."""
        shared = {k: v for k, v in self.state_dict().items() if k in self.SHARED}
        self.load_state_dict(shared | tensors)
        if self.cis is not None:
            self.cis.settle()
        return self.eval()

    def genes(self) -> GeneSide:
        """Return the genes that the network was trained on."""
        cis = None if self.cis is None else self.cis.known_genes(self.features)
        return GeneSide(self.log_mean + self.gene_bias, self.gene_loadings, cis)

    def unseen_genes(self, features: Tensor, pooled: Tensor, pairs: PairLists) -> GeneSide:
        """Return genes known only by the windows around them.

        Parameters
        ----------
        features
            Genes x features, standardised as those of the training genes; for the cis head.
        pooled
            Genes x pooled states, see :mod:`tilegrn.model.prepare.unseen`; for the loadings.
        pairs
            Their pairs with the windows of the model.
        """
        made = torch.addmm(self.unseen_map[-1], pooled, self.unseen_map[:-1])
        return GeneSide(made[:, -1], made[:, :-1], None if self.cis is None else self.cis.unseen_genes(features, pairs))

    def forward(self, batch: Batch, genes: GeneSide | None = None, sums: Tensor | None = None) -> Tensor:
        """Return log rates, cells x genes; of the training genes by default."""
        state, cis = self.parts(batch, genes, sums)
        return state if cis is None else state + cis

    def parts(
        self, batch: Batch, genes: GeneSide | None = None, sums: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the log rates that the state of the cell tells, and what the cis head adds to them.

        ``sums`` are those of :meth:`CellContext.read_sums`, where another pass over the same windows made them.
        """
        side = self.genes() if genes is None else genes
        code = self.context(batch, sums)
        with torch.autocast(device_type=code.device.type, enabled=False):  # bfloat16 would round log rates to 1 %
            state = torch.addmm(side.offset, code.to(side.loadings.dtype), side.loadings.T)
        return state, None if self.cis is None or side.cis is None else self.cis(batch, side.cis)
