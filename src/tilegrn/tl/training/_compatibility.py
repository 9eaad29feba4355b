"""How far to trust a model on another sample."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr

from tilegrn._core.rows import column_sums
from tilegrn.tl.training._inputs import cell_data, unseen_distance
from tilegrn.tl.training._source import read_source, unlike

if TYPE_CHECKING:
    from mudata import MuData

    from tilegrn.model.grn_model import GRNModel

__all__ = ["Compatibility", "compatibility"]


@dataclass(frozen=True)
class Compatibility:
    """What a model and a sample have in common. ``print`` it for a plain verdict.

    Attributes
    ----------
    verdict
        ``"good"``, ``"with care"``, ``"poor"`` or ``"impossible"``.
    reasons
        One sentence for each thing that is not as in training.
    windows_known
        Share of the sample's accessibility that lies in windows the model knows.
    windows_present
        Share of the accessibility of the training cells that lay in windows which the sample has.
    tfs_known
        Share of the training TF expression that comes from TFs which the sample measures.
    genes_trained, genes_from_windows, genes_not
        Shares of the sample's genes that the model was trained on, can predict from windows alone, cannot predict.
    rna_depth_ratio, atac_depth_ratio
        Median depth over that of the training cells.
    component_shift
        Distance of the sample's mean accessibility state from that of the training cells, in their standard deviations
        (root mean square over components).
    expression_correlation
        Spearman correlation of mean expression over the shared genes.

    Examples
    --------
    >>> found = grn.tl.compatibility(model, mdata)
    >>> found.verdict
    'good'
    >>> round(found.windows_known, 2)
    1.0
    """

    verdict: str
    reasons: tuple[str, ...]
    windows_known: float = 0.0
    windows_present: float = 0.0
    tfs_known: float = 0.0
    genes_trained: float = 0.0
    genes_from_windows: float = 0.0
    genes_not: float = 0.0
    rna_depth_ratio: float = float("nan")
    atac_depth_ratio: float = float("nan")
    component_shift: float = float("nan")
    expression_correlation: float = float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def __str__(self) -> str:
        head = {
            "good": "The sample looks like the training data: predictions can be used as on held-out cells.",
            "with care": "The sample differs from the training data: use the predictions with care.",
            "poor": "The sample is far from the training data: check predictions against measured genes before use.",
            "impossible": "The model cannot predict this sample.",
        }[self.verdict]
        lines = [head, *(f"- {r}" for r in self.reasons)]
        if self.verdict != "impossible":
            lines.append(
                f"Known: {self.windows_known:.0%} of the accessibility, {self.tfs_known:.0%} of the TF expression; of "
                f"the genes {self.genes_trained:.0%} as trained, {self.genes_from_windows:.0%} from windows alone, "
                f"{self.genes_not:.0%} not."
            )
        return "\n".join(lines)


def compatibility(
    model: GRNModel, mdata: MuData, *, rna: str = "rna", atac: str = "atac", layer: str | None = None
) -> Compatibility:
    """Compare a sample with the training data of a model.

    Nothing is written, and no prediction is made. The thresholds of the verdict are rules of thumb: below half of the
    accessibility or TF expression known, a threefold depth, or a mean state more than two standard deviations away is
    ``"poor"``; below 80 %, 1.5-fold, or one standard deviation ``"with care"``.

    Parameters
    ----------
    model
        From :func:`train` or ``grn.io.load_model``.
    mdata
        Prepared by ``bin_peaks`` and ``tss_distance``.
    rna, atac
        Names of the modalities.
    layer
        Layer of the RNA with the counts; ``X`` by default.

    Returns
    -------
    :class:`Compatibility`.

    Examples
    --------
    >>> second = grn.io.read_h5mu("second.h5mu")
    >>> grn.pp.bin_peaks(second, "genome.chrom.sizes")
    >>> grn.pp.tss_distance(second, "tss.bed")
    >>> grn.tl.compatibility(model, second).verdict
    'good'
    """
    source = read_source(mdata, rna=rna, atac=atac, layer=layer, for_training=False)
    v, prep = model.vocabulary, model.preparation
    other = unlike(source.grid, source.rule, v.grid, v.rule)
    if other:
        return Compatibility("impossible", (f"It and the model do not go together: {other}.",))
    place = {str(g): i for i, g in enumerate(source.genes)}
    shared = np.array([g in place for g in v.all_genes])
    if not shared.any():
        return Compatibility("impossible", ("It shares no gene name with the training data.",))
    data = cell_data(source, v, prep, model.config)
    at = v.positions(source.windows)
    weight = column_sums(source.open)
    windows_known = float(weight[at >= 0].sum() / max(weight.sum(), 1e-12))
    present = np.zeros(len(v.windows), dtype=bool)
    present[at[at >= 0]] = True
    windows_present = float(prep.openness[present].sum() / max(float(prep.openness.sum()), 1e-12))
    mean_of = dict(zip(v.all_genes, prep.gene_mean, strict=True))
    tf_weight = np.array([mean_of[t] for t in v.tfs])
    tfs_known = float(tf_weight[[t in place for t in v.tfs]].sum() / max(tf_weight.sum(), 1e-12))
    trained = np.isin(source.genes.astype(str), np.asarray(v.genes, dtype=str))
    n_new = len(unseen_distance(source, v)[0])
    n = len(source.genes)
    own = column_sums(source.counts) / max(len(source.cells), 1)
    columns = [place[g] for g, there in zip(v.all_genes, shared, strict=True) if there]
    correlation = float("nan")
    if shared.sum() > 2 and np.ptp(own[columns]) > 0 and np.ptp(prep.gene_mean[shared]) > 0:
        correlation = float(spearmanr(own[columns], prep.gene_mean[shared]).statistic)
    atac_depth = float(np.median(data.depth[:, 1])) * prep.depth_scale[1]
    values = {
        "windows_known": windows_known,
        "windows_present": windows_present,
        "tfs_known": tfs_known,
        "genes_trained": float(trained.mean()),
        "genes_from_windows": n_new / n,
        "genes_not": float(1 - trained.mean() - n_new / n),
        "rna_depth_ratio": float(np.median(data.size_factor)),
        "atac_depth_ratio": float(np.exp(atac_depth)),
        "component_shift": float(np.sqrt(np.square(data.components.mean(0)).mean())) if data.n_cells else float("nan"),
        "expression_correlation": correlation,
    }
    level, reasons = _judge(values)
    return Compatibility(("good", "with care", "poor")[level], tuple(reasons), **values)


def _judge(values: dict[str, float]) -> tuple[int, list[str]]:
    """Level 0 to 2, and a sentence for each finding."""
    level, reasons = 0, []

    def note(severity: int, text: str) -> None:
        nonlocal level
        if severity:
            level = max(level, severity)
            reasons.append(text)

    for key, what in (
        ("windows_known", "of its accessibility lies in windows that the model knows"),
        ("windows_present", "of the accessibility that the model was trained on lies in windows of its peaks"),
        ("tfs_known", "of the TF expression that the model reads is measured"),
    ):
        share = values[key]
        note((share < 0.8) + (share < 0.5), f"Only {share:.0%} {what}.")
    for key, what in (("rna_depth_ratio", "RNA"), ("atac_depth_ratio", "ATAC")):
        fold = values[key]
        away = max(fold, 1 / max(fold, 1e-9))
        note((away > 1.5) + (away > 3), f"Its {what} depth is {fold:.2g} times that of the training cells.")
    shift = values["component_shift"]
    note((shift > 1) + (shift > 2), f"Its mean accessibility state lies {shift:.1f} standard deviations away.")
    r = values["expression_correlation"]
    if np.isfinite(r):
        note((r < 0.7) + (r < 0.4), f"Mean expression correlates only {r:.2f} with the training data's.")
    if values["genes_not"] > 0.05:
        note(1, f"{values['genes_not']:.0%} of its genes cannot be predicted.")
    return level, reasons
