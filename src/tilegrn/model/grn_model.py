"""The trained model: networks of one or several seeds with all that they need to read new cells."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tilegrn._core.grid import Grid
from tilegrn._core.intervals import DistanceRule
from tilegrn.errors import InputError
from tilegrn.model.checkpoint import is_first_process, read_folder, write_folder
from tilegrn.model.config import ModelConfig
from tilegrn.model.data.batches import Batch, BatchMaker
from tilegrn.model.data.pairs import pair_lists
from tilegrn.model.net.cis import PARTS, WindowMoments
from tilegrn.model.net.network import Network
from tilegrn.model.prepare.preparation import Preparation, Vocabulary
from tilegrn.model.prepare.unseen import pool_windows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from scipy import sparse

    from tilegrn.model.data.batches import CellData
    from tilegrn.model.net.network import GeneSide

__all__ = ["GRNModel"]


class GRNModel:
    """A trained tilegrn model, as :func:`tilegrn.tl.train` returns it.

    Attributes
    ----------
    vocabulary
        Names of its genes, TFs and windows.
    config
        Choices of its parts.
    preparation
        What it learned about its inputs from training cells.
    networks
        One per seed.
    record
        Provenance: data hashes, versions, parameters, losses per epoch.

    Examples
    --------
    >>> model.vocabulary.tfs[:3]
    ('Tf1', 'Tf2', 'Tf3')
    >>> weights = model.cis_weights()  # one row per window and gene within reach
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        config: ModelConfig,
        preparation: Preparation,
        networks: list[Network],
        record: dict[str, Any],
    ) -> None:
        self.vocabulary = vocabulary
        self.config = config
        self.preparation = preparation
        self.networks = networks
        self.record = record

    @property
    def spread_factor(self) -> float | None:
        """Factor that brings the networks' standard deviation to the size of their error beyond counting noise.

        Fitted on validation cells by :func:`tilegrn.tl.train`. None: not calibrated, for a model of one network, one
        trained without validation cells or by an older tilegrn, or where those cells show no such error.
        """
        factor = float(self.record.get("spread_factor", 0.0))
        return factor if factor > 0 else None

    def __repr__(self) -> str:
        v = self.vocabulary
        return (
            f"GRNModel: {len(v.genes)} genes, {len(v.tfs)} TFs, {len(v.windows)} {v.grid}, "
            f"{len(self.networks)} network(s)"
        )

    # --- prediction -------------------------------------------------------------------------------------------------

    def iter_rates(
        self,
        data: CellData,
        *,
        unseen: sparse.csr_matrix | None = None,
        batch_size: int = 128,
        device: torch.device | str | None = None,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32] | None]]:
        """Predict rates of genes at size factor 1, a batch of cells at a time, in fp32.

        A TF is predicted with its own expression hidden, in ``config.n_masks`` further passes.

        Parameters
        ----------
        data
            Cells, prepared by this model's preparation.
        unseen
            Genes x windows of the model, bp to the TSS plus one, of genes outside the vocabulary; they are predicted
            from the windows around them.
        device
            Where to calculate, as torch names it; None is the CPU. The networks go there once and come back at the end.

        Yields
        ------
        Rows of the cells; networks x cells x genes of the vocabulary; networks x cells x unseen genes, or None.
        """
        maker = BatchMaker(data, self.config)
        with _moved(self.networks, device) as at:
            with _evaluating(self.networks), torch.no_grad():
                sides = [net.genes() for net in self.networks]
                masks = [
                    (mask.to(at), genes.numpy(), [side.take(genes.to(at)) for side in sides])
                    for mask, genes in self._masks()
                ]
                new_sides = None if unseen is None else [self._unseen_side(net, unseen) for net in self.networks]
            for rows in maker.slices(batch_size):
                # Left before each yield: between batches gradients and the networks' modes are the caller's.
                with _evaluating(self.networks), torch.no_grad():
                    batch = maker.evaluate(rows).to(at)
                    sums = [net.context.read_sums(batch) for net in self.networks]
                    known = self._rates(batch, sides, sums)
                    for mask, genes, some in masks:
                        known[:, :, genes] = self._rates(batch.hide(mask), some, sums)
                    new = None if new_sides is None else self._rates(batch, new_sides, sums)
                yield rows, known, new

    def batches(
        self, data: CellData, *, batch_size: int = 64, device: torch.device | str | None = None
    ) -> Iterator[Batch]:
        """Yield batches of cells, for a forward pass of one's own: gradients, attributions, knock-outs.

        ``network(batch)`` of one of :attr:`networks` gives differentiable log rates, cells x genes, at size factor 1;
        :func:`tilegrn.model.net.gates.gated` makes a batch depend on gates of its TFs and windows, ``batch.hide(tfs)``
        takes TFs out, ``network(batch, network.genes().take(genes))`` restricts the genes. On a ``device`` other than
        the CPU the network has to be there too, see :meth:`on`.
        """
        maker = BatchMaker(data, self.config)
        for rows in maker.slices(batch_size):
            batch = maker.evaluate(rows)
            yield batch if device is None else batch.to(device)

    @contextmanager
    def on(self, device: torch.device | str | None) -> Iterator[torch.device]:
        """Have the networks on a device, the CPU by default, and give them their own back at the end."""
        with _moved(self.networks, device) as at:
            yield at

    def cis_weights(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Return what each window within reach adds to each gene when it opens in the average cell.

        Returns
        -------
        Per pair: column of the window in the model, gene, weight (its share of the gene's weights), and effect (change
        of the log rate when the window opens fully and nothing else does), averaged over the networks.

        Raises
        ------
        InputError
            If the model has no cis head.
        """
        heads = [net.cis for net in self.networks if net.cis is not None]
        if not heads:
            msg = "The model was trained without the cis head (ModelConfig(use_cis=False)): there are no cis weights."
            raise InputError(msg)
        n_genes = len(self.vocabulary.genes)
        with _moved(self.networks, None), _evaluating(self.networks), torch.no_grad():
            weight = effect = torch.zeros(len(heads[0].column))
            for net in self.networks:
                side = net.genes().cis
                if side is None:
                    continue
                column, gene = side.lists.column, side.lists.column // PARTS
                total = torch.zeros(n_genes).index_add(0, gene, side.weight)
                weight = weight + side.weight / total[gene] / len(heads)
                opened = torch.log1p(side.weight / (side.expected + side.prior)[column])
                effect = effect + side.gain.flatten()[column] * opened / len(heads)
        window = heads[0].pairs.lists.window
        return window.numpy(), gene.numpy(), weight.numpy(), effect.numpy()

    def cis_reach(self) -> float:
        """Return the distance in bp at which the weight of a window has fallen to 1 / e of that at the TSS.

        Raises
        ------
        InputError
            If the model has no cis head, or none that knows distance.
        """
        heads = [net.cis for net in self.networks if net.cis is not None]
        if not heads or not self.config.use_distance:
            msg = "The model was trained without the cis head or without distance: it has no reach."
            raise InputError(msg)
        return float(np.mean([h.law[0].item() * np.expm1(1.0 / h.law[1].item()) for h in heads]))

    def _rates(self, batch: Batch, sides: list[GeneSide], sums: list[torch.Tensor | None]) -> NDArray[np.float32]:
        found = [torch.exp(net(batch, *each)).cpu() for net, *each in zip(self.networks, sides, sums, strict=True)]
        return np.asarray(torch.stack(found).numpy(), dtype=np.float32)

    def _unseen_side(self, net: Network, unseen: sparse.csr_matrix) -> GeneSide:
        features = self.preparation.features(unseen, self.config.pooling_lengths)
        pooled = pool_windows(unseen, net.window_states.cpu().numpy(), self.config.pooling_lengths)
        at = net.window_states.device
        return net.unseen_genes(torch.from_numpy(features).to(at), torch.from_numpy(pooled).to(at), pair_lists(unseen))

    def _masks(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """List groups of TFs to hide, and the genes predicted while they are."""
        target = self.preparation.tf_target
        group = np.arange(len(target)) % max(1, self.config.n_masks)
        out = []
        for g in np.unique(group):
            mask = group == g
            genes = target[mask & (target >= 0)]
            if len(genes):
                out.append((torch.from_numpy(mask), torch.from_numpy(genes)))
        return out

    # --- disk -------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder: safetensors and JSON with a manifest; whole or not at all.

        In a script that trains on several devices every process runs the whole script; the first one writes.

        Parameters
        ----------
        folder
            Made if absent; a tilegrn model that is already there is replaced.

        Raises
        ------
        InputError
            If the folder holds something else.
        """
        if is_first_process():
            write_folder(folder, *self.contents())

    def contents(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the words and the numbers that a model folder holds."""
        v = self.vocabulary
        text = {
            "config": self.config.to_dict(),
            "genes": list(v.genes),
            "tfs": list(v.tfs),
            "all_genes": None if v.all_genes == v.genes else list(v.all_genes),
            "grid": {
                "chroms": list(v.grid.chroms),
                "lengths": [int(n) for n in v.grid.lengths],
                "window_size": int(v.grid.window_size),
                "assembly": v.grid.assembly,
                "seed": int(v.grid.seed),
            },
            "distance": v.rule.to_dict(),
            "n_networks": len(self.networks),
            "record": self.record,
        }
        arrays = {"windows": v.windows} | {f"prep.{k}": a for k, a in self.preparation.arrays().items()}
        for i, net in enumerate(self.networks):
            if i == 0:
                shared = {k: v for k, v in net.state_dict().items() if k in net.SHARED}
                arrays |= {f"shared.{name}": tensor.cpu().numpy() for name, tensor in shared.items()}
            arrays |= {f"net{i}.{name}": tensor.cpu().numpy() for name, tensor in net.own().items()}
        return text, arrays

    @classmethod
    def load(cls, folder: str | Path) -> GRNModel:
        """Read a model from a folder; see :func:`tilegrn.io.load_model`."""
        text, arrays = read_folder(folder)
        try:
            return cls._build(text, arrays)
        except InputError:
            raise
        except Exception as error:  # of torch, numpy or Python: whatever the folder lacks
            msg = f"'{folder}' is not a complete tilegrn model ({type(error).__name__}: {error})."
            raise InputError(msg) from error

    @classmethod
    def _build(cls, text: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> GRNModel:
        grid = text["grid"]
        vocabulary = Vocabulary(
            tuple(text["genes"]),
            tuple(text["tfs"]),
            arrays["windows"],
            Grid(
                tuple(grid["chroms"]),
                np.asarray(grid["lengths"], dtype=np.int64),
                int(grid["window_size"]),
                str(grid["assembly"]),
                int(grid["seed"]),
            ),
            DistanceRule(**text["distance"]),
            tuple(text["genes"] if text["all_genes"] is None else text["all_genes"]),
        )
        config = ModelConfig.from_dict(text["config"])
        _check_sizes(config, text["n_networks"], arrays)
        preparation = Preparation.from_arrays({k[5:]: a for k, a in arrays.items() if k.startswith("prep.")})
        shared = {k[7:]: torch.from_numpy(a) for k, a in arrays.items() if k.startswith("shared.")}
        binding = None
        if "cis.bind_start" in shared:
            binding = (shared["cis.bind_start"], shared["cis.bind_tf"], shared["cis.bind_score"])
        n_windows = len(arrays["windows"])
        mean, square = (shared.get(f"cis.{name}", torch.zeros(n_windows)) for name in ("mean", "square"))
        pairs, moments = pair_lists(preparation.distance), WindowMoments(mean, square)
        networks = []
        for i in range(int(text["n_networks"])):
            net = Network(
                n_tfs=len(vocabulary.tfs),
                n_components=preparation.components.n,
                log_mean=shared["log_mean"],
                loadings=shared["context.loadings"],
                features=shared["features"],
                pairs=pairs,
                moments=moments,
                binding=binding,
                config=config,
            )
            prefix = f"net{i}."
            own = {k[len(prefix) :]: torch.from_numpy(a) for k, a in arrays.items() if k.startswith(prefix)}
            networks.append(net.with_own(own))
        return cls(vocabulary, config, preparation, networks, text["record"])


def _check_sizes(config: ModelConfig, n_networks: object, arrays: dict[str, NDArray[Any]]) -> None:
    """Refuse sizes that the arrays cannot have, before a network of them fills the memory."""
    there = len({k.partition(".")[0] for k in arrays if k.startswith("net")})
    if n_networks != there or there < 1:
        msg = f"The model states {n_networks} networks and holds the weights of {there}; copy or save it again."
        raise InputError(msg)
    largest = max(a.size for a in arrays.values())
    sizes = ("width", "n_latents", "n_heads", "hidden", "rank", "n_components", "n_loadings")
    for name, limit in (*((name, max(largest, 1000)) for name in sizes), ("n_blocks", len(arrays))):
        value = getattr(config, name)
        if not isinstance(value, int) or value > limit:
            msg = (
                f"The model's configuration has {name}={value!r}, which its arrays cannot have; copy or save it again."
            )
            raise InputError(msg)


@contextmanager
def _evaluating(networks: list[Network]) -> Iterator[None]:
    """Switch to evaluation, and give each network its mode back."""
    before = [net.training for net in networks]
    for net in networks:
        net.eval()
    try:
        yield
    finally:
        for net, mode in zip(networks, before, strict=True):
            net.train(mode)


@contextmanager
def _moved(networks: list[Network], device: torch.device | str | None) -> Iterator[torch.device]:
    """Have networks on a device, the CPU by default, and give each its own back."""
    at = torch.device("cpu" if device is None else device)
    before = [next(net.parameters()).device for net in networks]
    for net in networks:
        net.to(at)
    try:
        yield at
    finally:
        for net, own in zip(networks, before, strict=True):
            net.to(own)
