"""Losses on log rates: Poisson, negative binomial, squared error of log1p."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cell_loss", "gene_loss", "nb_nll", "poisson_nll"]


def poisson_nll(log_mean: Tensor, target: Tensor) -> Tensor:
    """Negative log likelihood of Poisson counts without the term that has no parameter."""
    return torch.exp(log_mean) - target * log_mean


def nb_nll(log_mean: Tensor, target: Tensor, log_dispersion: Tensor) -> Tensor:
    """Negative log likelihood of negative binomial counts without the log factorial of the count.

    Mean ``exp(log_mean)``, variance ``mean + mean^2 * exp(log_dispersion)``.
    """
    inverse = torch.exp(-log_dispersion)
    total = torch.logaddexp(log_mean, -log_dispersion)
    return (
        torch.lgamma(inverse)
        - torch.lgamma(target + inverse)
        + (target + inverse) * total
        + inverse * log_dispersion
        - target * log_mean
    )


def gene_loss(
    log_rate: Tensor, log_size: Tensor, target: Tensor, weight: Tensor | None, kind: str, log_dispersion: Tensor | None
) -> Tensor:
    """Mean loss over cells and genes.

    Parameters
    ----------
    log_rate
        Cells x genes, at size factor 1.
    log_size
        Log size factor of each cell.
    target
        Cells x genes counts (or counts mixed with the teacher's expectation).
    weight
        Cells x genes, 0 where a gene must not count; None for all ones.
    """
    return cell_loss(log_rate, log_size, target, weight, kind, log_dispersion).mean()


def cell_loss(
    log_rate: Tensor, log_size: Tensor, target: Tensor, weight: Tensor | None, kind: str, log_dispersion: Tensor | None
) -> Tensor:
    """Loss of each cell, the mean over genes; see :func:`gene_loss`."""
    log_mean = log_rate + log_size[:, None]
    if kind == "poisson":
        each = poisson_nll(log_mean, target)
    elif kind == "nb":
        if log_dispersion is None:
            msg = "The negative binomial loss needs a dispersion."
            raise ValueError(msg)
        each = nb_nll(log_mean, target, log_dispersion)
    else:
        size = torch.exp(log_size)[:, None]
        each = (torch.log1p(torch.exp(log_rate)) - torch.log1p(target / size)).square()
    if weight is not None:
        each = each * weight
    return each.mean(1)
