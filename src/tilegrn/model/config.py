"""Every choice of the model in one place."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from tilegrn.errors import InputError

__all__ = ["ModelConfig", "TeacherConfig", "default_config"]

TEACHER = 0.9
"""Share of the teacher's rates in the targets of shallow cells."""
_SHALLOW, _DEEP = 1000.0, 3000.0
"""RNA counts of a cell up to which the teacher has its full share, and from which on counts alone are the targets."""
_DENSE = 1000.0
"""Open windows of a cell beyond which the plain components tell its state, and guided ones only cost time."""


@dataclass(frozen=True)
class TeacherConfig:
    """The denoiser that smooths the training targets.

    Attributes
    ----------
    weight
        Share of the teacher's rate in the target; the counts make up the rest.
    rank, hidden
        Width of its code and of its hidden layer.
    max_epochs, batch_size, learning_rate
        Its optimisation.
    use_windows
        Let it see the accessibility components beside the RNA.

    Examples
    --------
    >>> from tilegrn.model.config import ModelConfig, TeacherConfig
    >>> config = ModelConfig(max_epochs=2, teacher=TeacherConfig(weight=0.5, max_epochs=2))
    >>> config.teacher.weight
    0.5
    """

    weight: float = TEACHER
    rank: int = 32
    hidden: int = 256
    max_epochs: int = 40
    batch_size: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    dropout: float = 0.3
    use_windows: bool = True


@dataclass(frozen=True)
class ModelConfig:
    """Choices of the transformer.

    Attributes
    ----------
    width, n_latents, n_heads, n_blocks, dropout
        Latents that hold the state of a cell, and the blocks that mix them.
    rank
        Numbers per cell that the gene loadings read.
    hidden
        Hidden layer of the network that starts the latents from dense inputs.
    n_components, n_loadings
        Accessibility components per cell, and LSI loadings per window that make its token.
    n_guided, guided_penalty
        Axes of expression (at most one per 20 training cells) whose ridge regression on windows adds a component to
        each cell, where windows tell anything of them (0 for none), and the penalty of the ridge.
    pooled
        Numbers per window that are summed over the open windows of a cell.
    use_tfs, use_windows, use_components, use_binding, use_distance, use_cis
        Switches of the parts, for ablations.
    promoter
        Windows up to so many bp from the TSS are the promoter, whose gain is learned apart. None: one and a half
        windows.
    cis_length
        Distance in bp at which a window's weight falls to 1 / e. None: what correlations of windows and genes show in
        the training cells; where they show none, the law of several that the training counts find most likely.
    feature_lengths
        Reaches in bp at which windows around a gene are pooled.
    loss
        ``"poisson"``, ``"nb"`` or ``"mse"``.
    learning_rate, weight_decay, batch_size, max_epochs, gradient_clip, warmup
        One-cycle AdamW: peak rate, decay of matrices, and the share of steps on the way up. ``batch_size`` cells make a
        step whatever the number of devices, which share them.
    patience
        Epochs without a better validation loss after which to stop; by default a third of all, at least 8.
    average_from
        Share of the steps after which weights are averaged.
    tf_dropout, window_dropout
        Share of TFs hidden in training, and the largest share of windows (drawn per cell).
    window_swap, n_donors
        Share of the cells of a training step that read the windows of another training cell, drawn from so many whose
        expression the teacher finds most alike; the cis head and the targets stay the cell's own. In cells of one state
        the noise of RNA and of ATAC is independent, so each pair is one more example. Needs a teacher.
    n_masks
        Passes in which TFs are hidden to be predicted.
    teacher
        The denoiser of the targets; None for none.

    Examples
    --------
    >>> from tilegrn.model.config import ModelConfig
    >>> model = grn.tl.train(mdata, config=ModelConfig(max_epochs=2, width=32, teacher=None), progress=False)
    """

    width: int = 64
    n_latents: int = 8
    n_heads: int = 8
    n_blocks: int = 2
    dropout: float = 0.2
    rank: int = 32
    hidden: int = 256
    n_components: int = 50
    n_loadings: int = 64
    n_guided: int = 32
    guided_penalty: float = 3.0
    pooled: int = 128
    use_tfs: bool = True
    use_windows: bool = True
    use_components: bool = True
    use_binding: bool = True
    use_distance: bool = True
    use_cis: bool = True
    promoter: float | None = None
    cis_length: float | None = None
    feature_lengths: tuple[float, ...] = (5_000.0, 25_000.0, 250_000.0)
    patience: int | None = None
    loss: Literal["poisson", "nb", "mse"] = "poisson"
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    batch_size: int = 64
    max_epochs: int = 14
    gradient_clip: float = 1.0
    tf_dropout: float = 0.2
    window_dropout: float = 0.5
    window_swap: float = 0.5
    n_donors: int = 10
    n_masks: int = 5
    average_from: float = 0.7
    warmup: float = 0.25
    teacher: TeacherConfig | None = field(default_factory=TeacherConfig)

    def __post_init__(self) -> None:
        if self.width % self.n_heads:
            msg = f"width {self.width} is not a multiple of n_heads {self.n_heads}."
            raise InputError(msg)
        if self.loss not in {"poisson", "nb", "mse"}:
            msg = f"loss is {self.loss!r}; choose 'poisson', 'nb' or 'mse'."
            raise InputError(msg)

    @property
    def pooling_lengths(self) -> tuple[float, ...]:
        """Reaches in bp at which windows are pooled: without distance every window within reach counts alike."""
        return self.feature_lengths if self.use_distance else (float("inf"),)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        out = asdict(self)
        out["feature_lengths"] = list(out["feature_lengths"])
        return out

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Rebuild from :meth:`to_dict`.

        Raises
        ------
        InputError
            If a value has a name that this version does not know.
        """
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            msg = f"The model's configuration has unknown entries {unknown}; upgrade tilegrn to read it."
            raise InputError(msg)
        plain = dict(values)
        if "feature_lengths" in plain:
            plain["feature_lengths"] = tuple(plain["feature_lengths"])
        if plain.get("teacher") is not None:
            plain["teacher"] = TeacherConfig(**plain["teacher"])
        return cls(**plain)


def default_config(*, n_cells: int, n_open: float = 0.0, depth: float = 0.0) -> ModelConfig:
    """Return choices that suit the data.

    Parameters
    ----------
    n_cells
        Training cells.
    n_open, depth
        Median open windows and median RNA counts of a cell.
    """
    # Twice the batch needs little more time per step, but few cells would leave it few steps.
    small = n_cells < 2500
    size, rate, steps = (64, 2e-3, 1150) if small else (128, 2.5e-3, 750)
    weight = TEACHER * min(1.0, max(0.0, (_DEEP - depth) / (_DEEP - _SHALLOW)))
    teacher = None
    if weight > 0:
        batch = int(min(max(n_cells // 16, 32), 256))
        passes = int(min(max(round(820 * batch / max(n_cells, 1)), 5), 60))
        teacher = TeacherConfig(weight=weight, batch_size=batch, max_epochs=passes)
    else:
        size, rate, steps = 128, 5e-4, 96  # from the Poisson regressions, which leave little to find
    epochs = int(min(max(round(steps * size / max(n_cells, 1)), 5), 60))
    return ModelConfig(
        max_epochs=epochs,
        batch_size=size,
        learning_rate=rate,
        teacher=teacher,
        patience=None if teacher else 3,
        n_guided=0 if n_open > _DENSE else ModelConfig.n_guided,
    )
