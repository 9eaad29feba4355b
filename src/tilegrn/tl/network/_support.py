"""Where a TF can act on a gene, and how an edge is shared among its windows.

Both rest on the pair score of window and gene ("link"). Windows share an edge by binding x link: with accessibility or
a steeper distance beside it the windows of tested elements rank worse. Pairs of a TF and a gene are weighed by
binding x accessibility x exp(-d / decay) x sqrt(link): the link holds distance and accessibility already, and whole it
left the direct effects of weak pairs to chance. Figures stand on the page on networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilegrn.model.grn_model import GRNModel
    from tilegrn.tl.training._source import Source

__all__ = ["Support", "combine", "jaccard", "ranks", "support_of"]

_LOOKUPS = 4_000_000
"""TF x window x gene entries looked up at a time (about 60 bytes each)."""


@dataclass(frozen=True, eq=False)
class Support:
    """The factors of TF x window x TG that do not depend on a cell.

    Attributes
    ----------
    binding
        TFs x windows, scores over each TF's root mean square, CSR with sorted indices.
    distance
        Genes x windows, bp plus one, CSR with sorted indices: its entries are the pairs that links belong to.
    decay
        Of the distance, bp.
    """

    binding: sparse.csr_matrix
    distance: sparse.csr_matrix
    decay: float

    def open_links(self, link: NDArray[np.float32], openness: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the links of each entry of ``distance`` in a group, 0 where the window is open in none of its cells.

        Parameters
        ----------
        link
            Pair score of each entry, see :class:`tilegrn.tl.pairs._window_links.WindowLinks`.
        openness
            Mean accessibility per window.
        """
        return np.where(openness[self.distance.indices] > 0, link, 0.0).astype(np.float64)

    def tf_gene(self, links: NDArray[np.float64], openness: NDArray[np.float64]) -> NDArray[np.float32]:
        """Sum of binding x accessibility x exp(-d / decay) x sqrt(link) over windows, TFs x genes."""
        near = self.distance
        value = openness[near.indices] * np.exp(-(near.data.astype(np.float64) - 1) / self.decay) * np.sqrt(links)
        by_window = sparse.csr_matrix(sparse.csr_matrix((value, near.indices, near.indptr), shape=near.shape).T)
        return np.asarray((self.binding @ by_window).toarray(), dtype=np.float32)

    def windows(
        self, links: NDArray[np.float64], tf: NDArray[np.int64], gene: NDArray[np.int64], max_cres: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """List the windows through which TFs can act on genes, those with the largest share first within a pair.

        Parameters
        ----------
        links
            From :meth:`open_links`.
        tf, gene
            Numbers of the pairs.
        max_cres
            Windows kept per pair.

        Returns
        -------
        Position of the pair, entry of ``distance``, share in the pair's sum of binding x link (in [0, 1], of all its
        windows).
        """
        width = self.binding.shape[1]
        row = np.repeat(np.arange(self.binding.shape[0], dtype=np.int64), np.diff(self.binding.indptr))
        key = row * width + self.binding.indices
        start = self.distance.indptr.astype(np.int64)
        n = start[gene + 1] - start[gene]
        ends = np.cumsum(n)
        none = np.zeros(0, dtype=np.int64)
        out: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = [(none, none, np.zeros(0))]
        first = 0
        while first < len(tf):
            before = int(ends[first - 1]) if first else 0
            last = max(first + 1, int(np.searchsorted(ends, before + _LOOKUPS, side="right")))
            pair = np.repeat(np.arange(first, last), n[first:last])
            entry = np.arange(len(pair)) + np.repeat(
                start[gene[first:last]] - (ends - n)[first:last] + before, n[first:last]
            )
            open_ = links[entry] > 0
            pair, entry = pair[open_], entry[open_]
            wanted = tf[pair] * width + self.distance.indices[entry]
            at = np.minimum(np.searchsorted(key, wanted), max(len(key) - 1, 0))
            hit = np.flatnonzero(key[at] == wanted) if len(key) else none
            pair, entry, at = pair[hit], entry[hit], at[hit]
            value = self.binding.data[at] * links[entry]
            total = np.bincount(pair - first, weights=value, minlength=last - first)
            share = value / np.maximum(total[pair - first], 1e-300)
            order = np.lexsort((-share, pair))
            place = np.arange(len(order)) - np.searchsorted(pair[order], pair[order])
            kept = order[place < max_cres]
            out.append((pair[kept], entry[kept], share[kept]))
            first = last
        pairs, entries, shares = zip(*out, strict=True)
        return np.concatenate(pairs), np.concatenate(entries), np.concatenate(shares)


def support_of(model: GRNModel, source: Source) -> Support | None:
    """Return binding and distance on the windows of a model; None without any binding.

    The model's own binding is used where it has some; else that of the MuData.
    """
    v = model.vocabulary
    shape = (len(v.tfs), len(v.windows))
    head = model.networks[0].cis
    if head is not None and head.reads_binding:
        by_window = sparse.csr_matrix(
            (head.bind_score.numpy(), head.bind_tf.numpy(), head.bind_start.numpy()), shape=shape[::-1]
        )
        binding = sparse.csr_matrix(by_window.T)
    elif source.binding is not None:
        binding = _own_binding(source, source.binding, v.tfs, v.positions(source.windows), shape)
    else:
        return None
    if not binding.nnz:
        return None
    binding.sort_indices()
    distance = sparse.csr_matrix(model.preparation.distance)
    distance.sort_indices()
    return Support(binding, distance, source.rule.decay)


def _own_binding(
    source: Source, scores: sparse.csr_matrix, tfs: tuple[str, ...], at: NDArray[np.int64], shape: tuple[int, int]
) -> sparse.csr_matrix:
    place = {g: i for i, g in enumerate(source.genes)}
    rows = np.array([place.get(t, -1) for t in tfs])
    part = sparse.coo_matrix(scores[np.maximum(rows, 0)])
    keep = (rows[part.row] >= 0) & (at[part.col] >= 0)
    out = sparse.csr_matrix((part.data[keep].astype(np.float64), (part.row[keep], at[part.col[keep]])), shape=shape)
    n = np.maximum(np.diff(out.indptr), 1)
    rms = np.sqrt(np.asarray(out.multiply(out).sum(1)).ravel() / n)
    out.data /= np.repeat(np.maximum(rms, 1e-12), np.diff(out.indptr))
    return out


WEIGHT = 2.0
"""Of the direct effect beside the attribution, each over its root mean square. Chosen on one simulation, see docs."""


def combine(
    attribution: NDArray[np.float32], direct: NDArray[np.float32], support: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return scores and signs of pairs: attribution times support, and the direct effect, added up.

    Pairs without support come after all that have some, in the order of their attribution and effect.
    """
    lone = support <= 0
    weighed = np.where(lone, np.float32(0), attribution * support)
    evidence = _scaled(weighed) + WEIGHT * _scaled(direct)
    score = np.abs(evidence)
    if lone.any():
        rest = _scaled(attribution[lone]) + WEIGHT * _scaled(direct[lone])
        evidence[lone] = rest
        floor = score[~lone & (score > 0)].min(initial=np.float32(1.0))
        score[lone] = np.abs(rest) / max(float(np.abs(rest).max()), 1e-30) * floor * np.float32(0.5)
    return np.asarray(score, dtype=np.float32), np.where(evidence < 0, -1, 1).astype(np.int8)


def _scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    rms = float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if len(values) else 0.0
    return values / np.float32(rms) if rms > 0 else values


def ranks(score: NDArray[np.float32]) -> NDArray[np.int64]:
    """Place of each score, 0 for the largest; ties in the order given."""
    out = np.empty(len(score), dtype=np.int64)
    out[np.argsort(-score, kind="stable")] = np.arange(len(score))
    return out


def jaccard(places: list[NDArray[np.int64]], top: int) -> float:
    """Mean over pairs of rankings of the overlap of their first ``top``: shared / either."""
    values = []
    for a, b in combinations(places, 2):
        both = int(((a < top) & (b < top)).sum())
        values.append(both / max(2 * min(top, len(a)) - both, 1))
    return float(np.mean(values)) if values else float("nan")
