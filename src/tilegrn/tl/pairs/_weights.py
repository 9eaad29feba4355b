"""Weights of the features of element-gene pairs: which sets there are, where they come from, and how they are kept."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tilegrn._core.atomic import write_text
from tilegrn.errors import InputError
from tilegrn.tl.pairs._features import BASE

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from tilegrn.tl.pairs._places import Floats

__all__ = ["EVIDENCE", "PairWeights"]

_FORMAT = "tilegrn pair weights 1"
_SHIPPED = "crispri_K562_weights.json"

EVIDENCE = 0.35
"""Weight of the cells' own evidence: log odds for each unit of shrunken correlation and effective axis. Chosen on
simulated cells of 4 to 24 programmes and 150 to 2,000 cells, see ``benchmarks/dense_links.py``."""


@dataclass(frozen=True, eq=False)
class PairWeights:
    """Weights of a logistic regression on the features of pairs, one set for each choice of features that may be there.

    Attributes
    ----------
    table
        Columns ``set, feature, mean, sd, weight``: weights are per standard deviation of the fitted pairs; the row
        ``intercept`` of each set has mean 0 and sd 1. A feature that is missing counts as its mean.
    evidence
        Log odds for each unit of shrunken correlation and effective axis of the cells.
    origin
        What was fitted on which data, when.
    validation
        Cross-validation by chromosome: ``score, auprc, auprc_low, auprc_high, gain, gain_low, gain_high`` (gain over
        distance; 95 % bootstrap intervals over pairs). May be empty.

    Examples
    --------
    >>> weights = grn.tl.PairWeights.shipped()
    >>> len(weights.sets)  # one for each choice of features that may be there
    8
    >>> weights.table.columns.tolist()
    ['set', 'feature', 'mean', 'sd', 'weight']
    """

    table: pd.DataFrame
    evidence: float = EVIDENCE
    origin: Mapping[str, str] = field(default_factory=dict)
    validation: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __repr__(self) -> str:
        origin = "\n".join(f"{k}: {v}" for k, v in self.origin.items())
        wide = self.table.pivot_table(index="feature", columns="set", values="weight", sort=False)
        parts = ["Weights of element-gene pairs, per standard deviation", origin, wide.round(3).to_string()]
        if len(self.validation):
            parts.append(self.validation.round(3).to_string(index=False))
        return "\n".join(p for p in parts if p)

    @property
    def sets(self) -> dict[str, list[str]]:
        """Names of the sets and the features of each."""
        rows = self.table[self.table["feature"] != "intercept"]
        return {str(name): list(part["feature"]) for name, part in rows.groupby("set", sort=False)}

    def choose(self, features: Mapping[str, Floats]) -> str:
        """Name of the set that uses most of the features at hand and needs no others.

        Raises
        ------
        InputError
            If there is none.
        """
        fitting = [name for name, needed in self.sets.items() if set(needed) <= set(features)]
        if not fitting:
            msg = (
                f"No set of these weights can be used with the features at hand, {sorted(features)}; the sets need "
                f"{self.sets}. Fit others with grn.tl.fit_pairs."
            )
            raise InputError(msg)
        # What is not always there counts first: activity takes the place of a feature of the base.
        return max(fitting, key=lambda name: (len(set(self.sets[name]) - set(BASE)), len(self.sets[name])))

    def of(self, name: str) -> tuple[pd.DataFrame, float]:
        """Features (index) with ``mean, sd, weight`` of a set, and its intercept."""
        rows = self.table[self.table["set"] == name].set_index("feature")[["mean", "sd", "weight"]]
        return rows.drop(index="intercept"), float(rows.loc["intercept", "weight"])

    def part(self, name: str, features: Mapping[str, Floats]) -> Floats:
        """Return what features add to the log odds in a set: nothing if they are not of it, or NaN."""
        rows, _ = self.of(name)
        total: Floats = np.zeros(len(next(iter(features.values()))))
        for feature, values in features.items():
            if feature in rows.index:
                mean, sd, weight = (float(v) for v in rows.loc[feature])
                total += np.nan_to_num((np.asarray(values, dtype=np.float64) - mean) / sd * weight, nan=0.0)
        return total

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights as JSON, whole or not at all; :meth:`load` reads them."""
        whole = {
            "format": _FORMAT,
            "origin": dict(self.origin),
            "evidence": self.evidence,
            "weights": self.table.to_dict("records"),
            "validation": self.validation.to_dict("records"),
        }
        write_text(path, json.dumps(whole, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PairWeights:
        """Read weights that :meth:`save` wrote.

        Raises
        ------
        InputError
            If there is no such file or it holds no weights.
        """
        where = Path(path)
        if not where.is_file():
            msg = f"There is no file '{where}'."
            raise InputError(msg)
        return cls._read(where.read_text(encoding="utf-8"), str(where))

    @classmethod
    def shipped(cls) -> PairWeights:
        """Return the weights fitted on published CRISPRi pairs, as shipped."""
        file = resources.files("tilegrn").joinpath("data", _SHIPPED)
        return cls._read(file.read_text(encoding="utf-8"), _SHIPPED)

    @classmethod
    def _read(cls, text: str, where: str) -> PairWeights:
        try:
            whole: dict[str, Any] = json.loads(text)
            if whole.get("format") != _FORMAT:
                msg = f"'{where}' holds no pair weights of this version of tilegrn ('{_FORMAT}')."
                raise InputError(msg)
            table = pd.DataFrame(whole["weights"])[["set", "feature", "mean", "sd", "weight"]]
            return cls(
                table.astype({"mean": float, "sd": float, "weight": float}),
                float(whole["evidence"]),
                {str(k): str(v) for k, v in whole["origin"].items()},
                pd.DataFrame(whole["validation"]),
            )
        except (json.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
            msg = f"'{where}' holds no pair weights: {error}. Write them with PairWeights.save."
            raise InputError(msg) from error
